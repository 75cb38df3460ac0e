"""A party: it is asked, and answers. No sockets: `join` carries the messages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.edge.vertical.kept import Kept
from narrows.edge.vertical.meeting import Meeting
from narrows.edge.vertical.rounds import Rounds
from narrows.edge.vertical.table import Table
from narrows.errors import SessionError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.sharing.fixed_point import Reals


@dataclass(frozen=True)
class PartySettings:
    """What a party brings, and what it agrees to."""

    name: str
    table: Table
    folder: Path
    tls: Path | None = None  # this party's credentials; None: its key is unsigned
    least_privacy: int = 1  # T must be this at least
    allow_plain: bool = False
    begin: Reals | None = None  # weights to begin with, of a session before


class Party:
    """One party's whole session, from the messages of its coordinator."""

    def __init__(self, settings: PartySettings) -> None:
        """Raises SessionError: the folder's session cannot be read, or is another party's."""
        self.settings, self.kept = settings, Kept(settings.folder)
        self._meeting: Meeting | None = None
        self._rounds: Rounds | None = None
        self.finished = False
        membership = self.kept.membership()
        if membership is not None:
            owner = membership.terms.parties[membership.index]
            if owner != settings.name:
                raise SessionError(
                    f"{settings.folder}: kept by {owner!r}, not by {settings.name!r}: each party "
                    "has a folder of its own"
                )
            self._rounds = Rounds(membership, self.kept)

    def hello(self) -> pb.Hello:
        """Who this is, and which session it comes back to."""
        digest = self._rounds.terms.digest if self._rounds else b""
        return pb.Hello(name=self.settings.name, terms_digest=digest)

    def answer(self, message: pb.CoordinatorMessage) -> pb.PartyMessage:
        """Raises NarrowsError: what was asked is refused, and why."""
        kind = message.WhichOneof("content")
        answered: Any
        match kind:
            case "introduce":
                held = self.settings
                self._meeting = Meeting(message.introduce, held.name, self.kept, held.tls)
                answered = self._meeting.introduction(*held.table.coded.shape)
            case "meet":
                answered = self._met.meet(message.meet, self.settings.table.ids)
            case "blind":
                answered = self._met.blind(message.blind)
            case "locate":
                answered = self._met.locate(message.locate)
            case "agree":
                held = self.settings
                membership = self._met.agree(
                    message.agree, held.table, held.least_privacy, held.allow_plain
                )
                self._rounds = Rounds(membership, self.kept, held.begin)
                answered = self._rounds.tables()
            case "keep" | "share" | "evaluate" | "embed":
                answered = getattr(self._agreed, kind)(getattr(message, kind))
            case "finish":
                self._agreed.learn(message.finish.gradients)
                self.finished, answered = True, pb.Finished()
            case _:
                raise SessionError("a question this party does not know: is it too old?")
        return _message(message.ask, answered)

    @property
    def _met(self) -> Meeting:
        if self._meeting is None:
            raise SessionError("asked for more before an introduction")
        return self._meeting

    @property
    def _agreed(self) -> Rounds:
        if self._rounds is None:
            raise SessionError("asked for more before terms were agreed on")
        return self._rounds


def _message(ask: int, answered: Any) -> pb.PartyMessage:
    """The answer in its own field: fields are called as their messages are."""
    return pb.PartyMessage(ask=ask, **{type(answered).__name__.lower(): answered})
