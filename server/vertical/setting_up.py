"""How a session begins: keys, the common records, the terms, and everybody's table on shares."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.errors import SessionError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical.asking import Question, Ref, fetch
from narrows.sharing.intersection import Blinder, Positions, hops, intersect, pack, unpack
from narrows.sharing.terms import Terms

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Met:
    """Who is there, with what."""

    session: str
    names: tuple[str, ...]
    introductions: tuple[pb.Introduction, ...]

    @property
    def columns(self) -> tuple[int, ...]:
        return tuple(told.columns for told in self.introductions)


@dataclass(frozen=True)
class Common:
    """Which records all have: the coordinator's own rows, and what each party is to be told."""

    rows: Positions
    positions: tuple[bytes, ...]  # of party n, from the member after it


class SettingUp:
    """The steps before the first round, in their order."""

    def __init__(self, ingress: Any, names: Sequence[str]) -> None:
        self._ingress, self._names = ingress, dict(enumerate(names))

    def introduce(self) -> Met:
        """A new session: everybody's key and counts."""
        session = secrets.token_hex(16)
        asked = pb.Introduce(session=session, parties=self._names.values())
        bodies = self._all("introduction", lambda n: pb.CoordinatorMessage(introduce=asked))
        told = tuple(pb.Introduction.FromString(fetch(bodies[n])) for n in self._names)
        return Met(session, tuple(self._names.values()), told)

    def aligned(self, met: Met, records: int) -> Common:
        """Tables in one order already: their sizes must be the same."""
        counts = {met.names[n]: told.records for n, told in enumerate(met.introductions)}
        if set(counts.values()) != {records}:
            raise SessionError(f"aligned tables of {records} labels and {counts} records")
        self._meet(met, aligned=True)
        return Common(np.arange(records), (b"",) * len(met.names))

    def intersect(self, met: Met, ids: Sequence[str]) -> Common:
        """Private set intersection (narrows.sharing.intersection); this is the last member."""
        blinder, me = Blinder(met.session.encode()), len(met.names)
        members = me + 1
        sets = {**self._meet(met, aligned=False), me: blinder.first(ids)}
        for step in range(members - 1):  # each member blinds one set a step
            self._pass(_Forward(step, me, blinder), sets)
        found = intersect([sets[owner] for owner in range(members)])
        if not len(found[0]):
            raise SessionError("no record that all have: are the ids written alike everywhere?")
        back = {owner: pack(places) for owner, places in enumerate(found)}
        for step in reversed(range(members - 1)):
            self._pass(_Backward(step, me, blinder), back)
        rows = blinder.rows(unpack(back[me]))
        return Common(rows, tuple(back[n] for n in range(me)))

    def agree(self, terms: Terms, common: Common, on_kept: Callable[[int], None]) -> None:
        """Everybody checks the terms, and shares its table with everybody; `on_kept`: by holder."""
        members = len(self._names) + 1
        questions = {
            n: pb.CoordinatorMessage(
                agree=pb.Agree(
                    terms=terms.encoded, positions=common.positions[n], sender=hops(n, members)[0]
                )
            )
            for n in self._names
        }
        bodies = self._each("tables", questions)
        if not terms.protected:
            return
        for holder in self._names:
            tables = pb.Tables.FromString(fetch(bodies.pop(holder)))
            if tables.terms_digest != terms.digest or len(tables.sealed) != len(self._names):
                raise SessionError(f"{self._names[holder]}: shares of other terms than agreed on")
            sealed = tables.sealed
            self._all(
                "kept",
                lambda n, holder=holder, sealed=sealed: pb.CoordinatorMessage(  # type: ignore[misc]
                    keep=pb.Keep(holder=holder, sealed=sealed[n])
                ),
            )
            on_kept(holder)

    def _pass(self, direction: "_Forward | _Backward", texts: dict[int, bytes]) -> None:
        """One step: every set is at one member, every member has one set."""
        questions = {}
        for owner, text in texts.items():
            hop = hops(owner, len(texts))[direction.step]
            if hop == direction.me:
                texts[owner] = direction.here(owner, text)
            else:
                questions[hop] = owner, direction.question(owner, text)
        asked = {hop: question for hop, (_, question) in questions.items()}
        for hop, body in self._each(direction.kind, asked).items():
            texts[questions[hop][0]] = direction.text(fetch(body))

    def _meet(self, met: Met, aligned: bool) -> dict[int, bytes]:
        asked = pb.Meet(introductions=met.introductions, aligned=aligned)
        bodies = self._all("blinded", lambda n: pb.CoordinatorMessage(meet=asked))
        return {n: pb.Blinded.FromString(fetch(body)).points for n, body in bodies.items()}

    def _all(self, kind: str, content: Callable[[int], pb.CoordinatorMessage]) -> dict[int, Ref]:
        return self._each(kind, {n: content(n) for n in self._names})

    def _each(self, kind: str, questions: Mapping[int, pb.CoordinatorMessage]) -> dict[int, Ref]:
        """Everybody's answer: before the first round nobody can be done without."""
        contents = {n: question.SerializeToString() for n, question in questions.items()}
        answers = Question(self._ingress, self._names, contents).wait(kind, len(contents))
        for party, why in answers.refused.items():
            raise SessionError(f"{self._names[party]} refuses: {why}")
        missing = [self._names[n] for n in contents if n not in answers.good]
        if missing:
            raise SessionError(
                f"{', '.join(missing)} left before the first round: begin again with all parties"
            )
        return answers.good


@dataclass(frozen=True)
class _Forward:
    """A set's points on their way around the ring; after the last hop they come here."""

    step: int
    me: int
    blinder: Blinder
    kind = "blinded"

    def here(self, owner: int, points: bytes) -> bytes:
        return self.blinder.blind(owner, points)

    def question(self, owner: int, points: bytes) -> pb.CoordinatorMessage:
        way = [owner, *hops(owner, self.me + 1), self.me]
        sender, receiver = way[self.step], way[self.step + 2]
        asked = pb.Blind(owner=owner, sender=sender, receiver=receiver, points=points)
        return pb.CoordinatorMessage(blind=asked)

    def text(self, body: bytes) -> bytes:
        return pb.Blinded.FromString(body).points


@dataclass(frozen=True)
class _Backward:
    """Positions on their way back to a set's owner, from here."""

    step: int
    me: int
    blinder: Blinder
    kind = "located"

    def here(self, owner: int, positions: bytes) -> bytes:
        return pack(self.blinder.back(owner, unpack(positions)))

    def question(self, owner: int, positions: bytes) -> pb.CoordinatorMessage:
        way = [owner, *hops(owner, self.me + 1), self.me]
        sender, receiver = way[self.step + 2], way[self.step]
        asked = pb.Locate(owner=owner, sender=sender, receiver=receiver, positions=positions)
        return pb.CoordinatorMessage(locate=asked)

    def text(self, body: bytes) -> bytes:
        return pb.Located.FromString(body).positions
