"""The coordinator's loop in one process: questions without Ray, decoding without actors.

`Ask` stands in for `Question`: parties of a `Group` are asked one by one, and a `Room` says what
becomes of their answers on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from vertical_group import Group

from narrows.errors import NarrowsError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical import plain, setting_up, shared
from narrows.server.vertical.asking import Answers
from narrows.server.vertical.coordinator import Coordinator
from narrows.server.vertical.decoding import DecodeActor, Verdict
from narrows.server.vertical.standing import Standing
from narrows.server.vertical.waiting import rule
from narrows.sharing.terms import Terms


def answered_as_asked(party: int, question: pb.CoordinatorMessage, answer: pb.PartyMessage):
    return answer


@dataclass
class Room:
    """In the place of the ingress: the parties, and what becomes of their answers on the way."""

    group: Group
    # party, question, answer -> answer; None: it never comes
    way: Callable[..., pb.PartyMessage | None] = answered_as_asked
    late: Callable[[int], bool] = lambda party: False  # with a result, behind all others
    slow: Callable[[int], bool] = lambda party: False  # to share: not in time for the round
    asked: list[tuple[int, str]] = field(default_factory=list)

    def answer(self, name: str, content: bytes) -> pb.PartyMessage | None:
        party = self.group.names.index(name)
        question = pb.CoordinatorMessage.FromString(content)
        kind = question.WhichOneof("content")
        self.asked.append((party, kind))
        try:
            answer = self.group.ask(party, getattr(question, kind))
        except NarrowsError as error:
            answer = pb.PartyMessage(refusal=pb.Refusal(message=str(error)))
        return self.way(party, question, answer)


class Ask:
    """`Question`, answered at once: those who are late only where others are too few."""

    def __init__(self, room: Room, names, contents):
        self.answers, self.after_s, self._waiting, self._room = Answers(), {}, [], room
        for party, content in contents.items():
            answer = room.answer(names[party], content)
            if answer is not None:
                self._waiting.append((room.late(party), party, answer))
        self._waiting.sort(key=lambda entry: entry[:2])

    def wait(self, kind, wanted, until_s=None):
        while self._waiting and (self._at_hand() or len(self.answers.good) < wanted):
            self._take(kind)
        return self.answers

    def _at_hand(self) -> bool:
        late, party, answer = self._waiting[0]
        return not late and not (answer.HasField("shares") and self._room.slow(party))

    def wait_for(self, kind, parties, until_s):
        slow, self._waiting = self._waiting, []
        for entry in slow:
            self._waiting.append(entry)
            if until_s is None or not self._room.slow(entry[1]):
                self._waiting.insert(0, self._waiting.pop())
                self._take(kind)
        return self.answers

    def waits_for(self, party) -> bool:
        return any(party == waiting for _, waiting, _ in self._waiting)

    def _take(self, kind) -> None:
        _, party, answer = self._waiting.pop(0)
        said = answer.WhichOneof("content")
        body = getattr(answer, said)
        if said == kind:
            self.answers.good[party] = body.SerializeToString()
            self.after_s[party] = 0.01
        elif said == "complaint":
            self.answers.complaints[party] = body
        elif said == "refusal":
            self.answers.refused[party] = body.message
        else:
            self.answers.gone.add(party)


class Decoding:
    """`Decoders` without actors."""

    def __init__(self, terms: Terms) -> None:
        self._actor = DecodeActor(terms.encoded)

    def decode(self, round, bodies) -> Verdict:
        parties = sorted(bodies)
        return self._actor.decode(round, (0, round[1]), parties, *(bodies[n] for n in parties))


def without_ray(monkeypatch) -> None:
    for module in (plain, setting_up, shared):
        monkeypatch.setattr(module, "Question", Ask)
        monkeypatch.setattr(module, "fetch", bytes)


def shared_sums(room: Room, waiting: str = "threshold") -> shared.SharedSums:
    """Of the group's session; its standing is `sums._standing`."""
    terms = room.group.terms
    wanted = rule(waiting, len(terms.parties), terms.wanted, 1.0)
    standing = Standing(terms.parties)
    return shared.SharedSums(room, terms, standing, Decoding(terms), 5.0, wanted)


def all_steps(coordinator: Coordinator) -> list[int]:
    """Run it; the parties that were waited for, each time."""
    waited: list[int] = []
    coordinator.run(waited.append, lambda now: None)
    return waited
