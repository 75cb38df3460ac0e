"""Parties of a vertical session in one process, asked one by one; and the same sums in the clear.

`Group` is a coordinator without sockets, clocks and Ray: what goes between it and the parties is
serialised both ways, and every answer is kept as the bytes that came.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from narrows.edge.vertical.party import Party, PartySettings
from narrows.edge.vertical.table import Column, Preparation, Table
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.decoding import Decoder
from narrows.sharing.fixed_point import FixedPoint, signed
from narrows.sharing.intersection import Blinder, hops, intersect, pack, unpack
from narrows.sharing.parameters import SharingParameters
from narrows.sharing.party import elements
from narrows.sharing.schedule import Schedule
from narrows.sharing.terms import Learning, Terms

SESSION = "0123456789abcdef" * 2
COLUMNS = (2, 3, 1, 2, 1)  # of five parties: K = 2, T = 1, D = 2 needs R = 5
COMMON = 26  # records that all have


def table_of(columns: int, ids: list[str], seed: int) -> Table:
    """Random numbers, not to scale."""
    rng = np.random.default_rng(seed)
    each = tuple(Column(f"c{i}", None, (1.0,), (2.0,)) for i in range(columns))
    return Table(ids, rng.normal(1, 3, (len(ids), columns)), Preparation(each))


def tables(columns: tuple[int, ...] = COLUMNS) -> list[Table]:
    """Each in an order of its own, with records that no other has."""
    found = []
    for n, d in enumerate(columns):
        ids = [f"record-{i:04d}" for i in range(COMMON)] + [f"only-{n}-{i}" for i in range(3)]
        order = np.random.default_rng(100 + n).permutation(len(ids))
        found.append(table_of(d, [ids[i] for i in order], seed=n))
    return found


def terms_of(
    names: Iterable[str], columns: tuple[int, ...] = COLUMNS, factors: int = 1, **changed
) -> Terms:
    """Of as many segments as the parties allow, without stragglers."""
    n, degree = len(columns), 2 * factors
    parameters = SharingParameters(n, (n - 1) // degree, 1, degree)
    if not changed.get("protected", True):
        parameters = SharingParameters(n, 1, 1, degree)
    kind = FixedPoint(12 if factors == 1 else 8, 4.0)
    schedule = Schedule(COMMON, 6, parameters.segments, 4, 2, seed=3)
    told = {"width": 3, "schedule": schedule, "learning": Learning(0.05), **changed}
    bounds = SessionBounds(parameters, kind, kind, columns, factors)
    return Terms(SESSION, tuple(names), bounds, **told)


class Group:
    """All parties of one session, and what its coordinator is told by them."""

    def __init__(self, folder: Path, columns: tuple[int, ...] = COLUMNS, **settings) -> None:
        names = [f"party-{n}" for n in range(len(columns))]
        self.settings = [
            PartySettings(name, table, folder / name, **settings)
            for name, table in zip(names, tables(columns), strict=True)
        ]
        self.parties = [Party(each) for each in self.settings]
        self.names, self.columns = names, columns
        self.received: list[bytes] = []
        self._asks = 0

    def ask(self, n: int, question) -> pb.PartyMessage:
        """Raises what the party raises."""
        self._asks += 1
        field = type(question).__name__.lower()
        message = pb.CoordinatorMessage(ask=self._asks, **{field: question})
        message = pb.CoordinatorMessage.FromString(message.SerializeToString())
        answer = self.parties[n].answer(message)
        assert answer.ask == self._asks
        self.received.append(answer.SerializeToString())
        return pb.PartyMessage.FromString(self.received[-1])

    def restart(self, n: int) -> Party:
        """A process that ended, and one that begins with the same folder."""
        self.parties[n] = Party(self.settings[n])
        return self.parties[n]

    def introduce(self, session: str = SESSION) -> list[pb.Introduction]:
        asked = pb.Introduce(session=session, parties=self.names)
        return [self.ask(n, asked).introduction for n in range(len(self.names))]

    def meet(self, ids: list[str]) -> dict[int, pb.Agree]:
        """Keys and the ring of the intersection; what each is to be asked next, without terms."""
        me = len(self.names)
        asked = pb.Meet(introductions=self.introduce())
        sets = {n: self.ask(n, asked).blinded.points for n in range(me)}
        blinder = Blinder(SESSION.encode())
        sets[me] = blinder.first(ids)
        for owner in range(me + 1):
            way = [owner, *hops(owner, me + 1), me]
            for before, hop, after in zip(way, way[1:-1], way[2:], strict=False):
                question = pb.Blind(owner=owner, sender=before, receiver=after, points=sets[owner])
                sets[owner] = (
                    blinder.blind(owner, sets[owner])
                    if hop == me
                    else self.ask(hop, question).blinded.points
                )
        found = intersect([sets[owner] for owner in range(me + 1)])
        back = {owner: pack(places) for owner, places in enumerate(found)}
        for owner in range(me + 1):
            way = [owner, *hops(owner, me + 1), me]
            for at in range(me, 0, -1):
                hop, sender, receiver = way[at], way[at + 1], way[at - 1]
                if hop == me:
                    back[owner] = pack(blinder.back(owner, unpack(back[owner])))
                    continue
                question = pb.Locate(
                    owner=owner, sender=sender, receiver=receiver, positions=back[owner]
                )
                back[owner] = self.ask(hop, question).located.positions
        self.rows = blinder.rows(unpack(back[me]))
        return {n: pb.Agree(positions=back[n], sender=hops(n, me + 1)[0]) for n in range(me)}

    def begin(self, terms: Terms, ids: list[str] | None = None) -> "Group":
        """All steps before the first round."""
        self.ids = [f"record-{i:04d}" for i in range(COMMON)] if ids is None else ids
        self.terms = terms
        agrees = self.meet(self.ids)
        shares = []
        for n, agree in agrees.items():
            agree.terms = terms.encoded
            shares.append(self.ask(n, agree).tables)
        if terms.protected:
            for holder, told in enumerate(shares):
                assert told.terms_digest == terms.digest
                for n, sealed in enumerate(told.sealed):
                    self.ask(n, pb.Keep(holder=holder, sealed=sealed))
        return self

    def share(
        self, round: int, step: int, gradients: Iterable[pb.Gradient] = (), parties=None
    ) -> dict[int, pb.Shares]:
        asked = pb.Share(round=round, step=step, gradients=gradients)
        return {n: self.ask(n, asked).shares for n in parties or range(len(self.names))}

    def evaluate(
        self, round: int, step: int, shares: Mapping[int, pb.Shares], parties=None
    ) -> dict[int, pb.PartyMessage]:
        everyone = range(len(self.names))
        versions = [shares[n].round if n in shares else 0 for n in everyone]
        answers = {}
        for m in everyone if parties is None else parties:
            sealed = [shares[n].sealed[m] if n in shares else b"" for n in everyone]
            question = pb.Evaluate(round=round, step=step, versions=versions, sealed=sealed)
            answers[m] = self.ask(m, question)
        self.versions = versions
        return answers

    def decode(self, step: int, answers: Mapping[int, pb.PartyMessage]) -> np.ndarray:
        """(K, b, e) signed integers."""
        rows, p = len(self.terms.schedule.step(step).rows), self.terms.bounds.parameters.prime
        shape = rows, self.terms.width
        responses = {}
        for m, answer in answers.items():
            told = answer.response
            assert told.versions_digest == self.terms.versions_digest(told.round, self.versions)
            responses[m] = elements(told.values, shape[0] * shape[1], p).reshape(shape)
        return signed(Decoder(self.terms.code).decode(responses, shape).sums, p)

    def round(self, round: int, step: int, gradients: Iterable[pb.Gradient] = ()) -> np.ndarray:
        """(K, b, e) signed integers of one round in which all take part."""
        return self.decode(step, self.evaluate(round, step, self.share(round, step, gradients)))

    def in_the_clear(self, step: int, without: tuple[int, ...] = ()) -> np.ndarray:
        """(K, b, e) of Python's integers, by everybody's own table and weights of now."""
        bounds, rows = self.terms.bounds, self.terms.schedule.step(step).rows
        total = np.zeros((), object)
        for n, party in enumerate(self.parties):
            if n in without:
                continue
            x = self.terms.schedule.arrange(party.kept.table())[:, rows]
            product = np.ones((), object)
            for factor in party.kept.learnt():
                quantised = whole(factor, bounds.weights)
                product = product * (whole(x, bounds.data) @ quantised)
            total = total + product
        return total

    def gradient(self, round: int, step: int, seed: int = 0) -> pb.Gradient:
        """A random one of the sums of that step."""
        shape = (self.terms.schedule.segments, len(self.terms.schedule.step(step).rows))
        values = np.random.default_rng(seed).normal(size=(*shape, self.terms.width))
        return pb.Gradient(round=round, step=step, values=values.astype("<f4").tobytes())


def whole(values: np.ndarray, kind: FixedPoint) -> np.ndarray:
    """Quantised, as Python's integers."""
    return np.rint(values * 2.0**kind.scale_bits).astype(int).astype(object)
