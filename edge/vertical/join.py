"""A party's stream: one connection at a time, anew when it breaks, until the session has ended."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import grpc

from narrows.edge.link import Backoff, LinkSettings, open_channel
from narrows.edge.vertical.party import Party
from narrows.errors import LinkError, NarrowsError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.protos.narrows.v1 import vertical_pb2_grpc as pb_grpc

log = logging.getLogger(__name__)
MESSAGE_BYTES = 256 << 20  # a table's share is one message
SEATED = "narrows-seated"  # metadata of a stream that was let in
TOLD_SECONDS = 5.0  # for the coordinator to read why a party leaves
FINAL = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION)


@dataclass
class Straggling:
    """Exponential delays before each response: the paper's slow parties, to measure with."""

    mean_s: float = 0.0
    seed: str = field(default_factory=lambda: secrets.token_hex(8))

    def delay_s(self, round: int) -> float:
        """The same whenever it is asked for."""
        drawn = random.Random(f"{self.seed}/{round}")
        return drawn.expovariate(1 / self.mean_s) if self.mean_s else 0.0


async def take_part(
    party: Party,
    address: str,
    link: LinkSettings,
    straggling: Straggling,
    on_answer: Callable[[pb.CoordinatorMessage], None] = lambda message: None,
) -> None:
    """Answer the coordinator until it ends the session.

    Raises:
        LinkError: no coordinator for `give_up_s`, or one that does not let this party in.
        NarrowsError: this party refused what was asked; the coordinator was told.
    """
    backoff, seat = Backoff(link.backoff_initial_s, link.backoff_cap_s), _Seat()
    while not party.finished:
        try:
            async with open_channel(address, link, MESSAGE_BYTES) as channel:
                async for message in _conversation(party, channel, straggling, seat):
                    backoff.reset()
                    on_answer(message)
        except grpc.aio.AioRpcError as error:
            if error.code() in FINAL:
                raise LinkError(f"{address}: {error.details()}") from None
            if time.monotonic() - seat.left_s > link.give_up_s:
                raise LinkError(
                    f"{address}: no coordinator for {link.give_up_s:g} s: {error.details()}"
                ) from None
            log.info("%s: %s: trying again", address, error.details())
        if not party.finished:
            await asyncio.sleep(backoff.next_s())


@dataclass
class _Seat:
    """At the coordinator."""

    left_s: float = field(default_factory=time.monotonic)  # since when there is none


async def _conversation(
    party: Party, channel: grpc.aio.Channel, straggling: Straggling, seat: _Seat
) -> AsyncIterator[pb.CoordinatorMessage]:
    """Yields what was answered. A newer question ends the work on an older one's delay."""
    stream = pb_grpc.VerticalStub(channel).Join()
    await stream.write(pb.PartyMessage(hello=party.hello()))
    let_in = SEATED in dict(await stream.initial_metadata())
    newest = _Newest()

    async def read() -> None:
        try:
            async for message in stream:
                newest.put(message)
        finally:
            newest.put(None)

    reading = asyncio.create_task(read())
    try:
        while (message := await newest.take()) is not None:
            try:
                answer = await asyncio.to_thread(party.answer, message)
            except NarrowsError as error:
                if not stream.done():
                    refusal = pb.Refusal(message=str(error))
                    await stream.write(pb.PartyMessage(ask=message.ask, refusal=refusal))
                    await stream.done_writing()
                    await asyncio.wait([reading], timeout=TOLD_SECONDS)
                raise
            asked = message.evaluate if message.HasField("evaluate") else message.embed
            delay_s = straggling.delay_s(asked.round) if asked.round else 0.0
            if delay_s and await newest.came_within(delay_s):
                continue
            if stream.done():  # while it was computed; `reading` tells why
                break
            await stream.write(answer)
            yield message
            if party.finished:
                await stream.done_writing()
        await reading
    finally:
        reading.cancel()
        if let_in:
            seat.left_s = time.monotonic()


class _Newest:
    """The coordinator's latest question: one that it asks instead of another takes its place."""

    def __init__(self) -> None:
        self._there = asyncio.Event()
        self._message: pb.CoordinatorMessage | None = None

    def put(self, message: pb.CoordinatorMessage | None) -> None:
        """None: there will be no more."""
        self._message = message
        self._there.set()

    async def take(self) -> pb.CoordinatorMessage | None:
        await self._there.wait()
        self._there.clear()
        return self._message

    async def came_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._there.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True
