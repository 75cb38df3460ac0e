"""One party's place at the coordinator: what it is asked, over whichever stream it has now."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from narrows.protos.narrows.v1 import vertical_pb2 as pb

GONE = ""  # in place of a kind of answer: the party has no stream, or was asked something else


@dataclass(frozen=True)
class Answer:
    """A party's message: its kind, as the field is called, and the field's bytes."""

    kind: str
    body: bytes


class Seat:
    """Holds at most one question. A newer one takes its place, a newer stream the older one's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hello = pb.Hello()
        self.heard_s = 0.0  # when, by the monotonic clock
        self._stream: object | None = None
        self._asks = 0
        self._question: pb.CoordinatorMessage | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._news = asyncio.Event()

    @property
    def present(self) -> bool:
        return self._stream is not None

    async def ask(self, content: bytes) -> Answer:
        """Ask, and wait for the answer. `content`: a CoordinatorMessage without its number."""
        self._give_up()
        if not self.present:
            return Answer(GONE, b"")
        self._asks += 1
        self._question = pb.CoordinatorMessage.FromString(content)
        self._question.ask = self._asks
        answer = self._answer = asyncio.get_running_loop().create_future()
        self._news.set()
        return await answer

    def answered(self, message: pb.PartyMessage) -> None:
        """A message came; one that answers an older question is a sign of life and no more."""
        self.heard_s = time.monotonic()
        kind = message.WhichOneof("content")
        if kind and message.ask == self._asks and self._answer and not self._answer.done():
            body = getattr(message, kind).SerializeToString()
            self._answer.set_result(Answer(kind, body))

    def sit(self, stream: object, hello: pb.Hello) -> None:
        """The party is here, by that stream; an older one's question went with it."""
        self._give_up()
        self._stream, self.hello, self.heard_s = stream, hello, time.monotonic()

    def leave(self, stream: object) -> bool:
        """That stream broke; False: it was not the party's stream any more."""
        if stream is not self._stream:
            return False
        self._stream = None
        self._give_up()
        return True

    async def questions(self, stream: object) -> AsyncIterator[pb.CoordinatorMessage]:
        """What to write on that stream, until the party has a newer one or none."""
        while stream is self._stream:
            if self._question is None:  # only the stream of now may take the news off
                self._news.clear()
                await self._news.wait()
                continue
            question, self._question = self._question, None
            yield question

    def _give_up(self) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(Answer(GONE, b""))
        self._question = None
        self._news.set()
