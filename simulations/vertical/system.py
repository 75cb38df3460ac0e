"""A session computed in one process and in the clear, to the bit what it is on secret shares.

Shares decode to integers, the sum over the parties of what their quantised tables and weights
give; those integers are computed here without shares. Everything else is the parties' and the
coordinator's own code. `train` runs the steps of a schedule with the parts that came in time.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from narrows.edge.vertical.local import Adam, LocalNetwork, Mlp, Product
from narrows.server.vertical.top import NO_LABEL, Learner
from narrows.server.vertical.waiting import KnownParts, Waiting
from narrows.sharing.fixed_point import Reals, signed
from narrows.sharing.schedule import Rows
from narrows.sharing.terms import Terms
from narrows.simulations.vertical.datasets import VerticalData
from narrows.simulations.vertical.stragglers import Round

EXACT = 1 << 53  # float64 holds every integer up to here


@dataclass(frozen=True)
class Epoch:
    """What held-out records say after it."""

    ends_s: float  # in virtual time
    loss: float  # of training
    accuracy: float  # with everybody's part
    served: float  # with the parts that came in time, as the coordinator sees it


def drawn_for(seed: int, party: int) -> bytes:
    """What a party's first weights are drawn from; a real one has them of nobody else."""
    return hashlib.sha256(f"{seed}/{party}".encode()).digest()


class Party:
    """Its table as it is shared, and its network."""

    def __init__(self, terms: Terms, index: int, table: Reals, hidden: int, seed: int) -> None:
        """hidden: of an own network with a hidden layer; 0: one for shares."""
        p, data, columns = terms.bounds.parameters.prime, terms.bounds.data, table.shape[1]
        steps = signed(data.quantise(table, p), p).astype(np.float64)
        self._steps = terms.schedule.arrange(steps)
        self._terms = terms
        drawn = drawn_for(seed, index)
        self.network: LocalNetwork = (
            Mlp.begin(columns, terms.width, hidden, drawn)
            if hidden
            else Product.begin(
                columns, sum(terms.bounds.columns), terms.width, terms.bounds.factors, drawn
            )
        )
        self._adam = Adam(terms.learning.rate, terms.bounds.weights.limit)
        self._exact = data.largest * terms.bounds.weights.largest * columns < EXACT

    def table(self, rows: Rows) -> Reals:
        """(K * b, d_n), as the shares have it."""
        return self._rows(rows) * 0.5**self._terms.bounds.data.scale_bits

    def share(self) -> Reals:
        """The weights of now as they are shared: in whole steps."""
        p, weights = self._terms.bounds.parameters.prime, self._terms.bounds.weights
        return signed(weights.quantise(self.network.weights, p), p).astype(np.float64)

    def integers(self, rows: Rows, weights: Reals) -> NDArray[np.int64]:
        """(K * b, e): the part of the sum that shares of this table and these weights decode to."""
        x = self._rows(rows)
        if not self._exact:  # modulo 2**64, which the session's bound makes exact
            return np.prod(x.astype(np.int64) @ weights.astype(np.int64), axis=0, dtype=np.int64)
        return np.prod((x @ weights).astype(np.int64), axis=0, dtype=np.int64)

    def learn(self, rows: Rows, gradient: NDArray[np.float32]) -> None:
        upstream = gradient.astype(np.float64)
        self._adam.step(self.network.weights, self.network.gradient(self.table(rows), upstream))

    def _rows(self, rows: Rows) -> Reals:
        return self._steps[:, rows].reshape(-1, self._steps.shape[2])


class Sums(Protocol):
    """How the sums of a step come about."""

    def total(self, rows: Rows, round: Round) -> Reals:
        """(K * b, e), of what came in time."""

    def whole(self, rows: Rows) -> Reals:
        """(K * b, e), of what everybody has now."""

    def learning(self, round: Round) -> frozenset[int]:
        """Who learns from it."""


class SharedSums:
    """Everybody's part, with the weights it shared last."""

    def __init__(self, terms: Terms, parties: Sequence[Party]) -> None:
        self._terms, self._parties = terms, parties
        self._shared = [party.share() for party in parties]

    def total(self, rows: Rows, round: Round) -> Reals:
        for n in round.shared:
            self._shared[n] = self._parties[n].share()
        return self._sum(rows, self._shared)

    def whole(self, rows: Rows) -> Reals:
        return self._sum(rows, [party.share() for party in self._parties])

    def learning(self, round: Round) -> frozenset[int]:
        return round.shared

    def _sum(self, rows: Rows, weights: Sequence[Reals]) -> Reals:
        parts = [p.integers(rows, w) for p, w in zip(self._parties, weights, strict=True)]
        return np.sum(parts, axis=0).astype(np.float64) * 0.5**self._terms.bounds.scale_bits


class PlainSums:
    """The parts that came in time, in float32; only their holders learn from the round."""

    def __init__(self, terms: Terms, parties: Sequence[Party], waiting: Waiting) -> None:
        self._parties = parties
        schedule = terms.schedule
        self._known = (
            KnownParts(len(parties), schedule.segments, schedule.height, terms.width)
            if waiting == "asynchronous"
            else None
        )

    def total(self, rows: Rows, round: Round) -> Reals:
        parts = {n: self._part(n, rows) for n in sorted(round.here)}
        if self._known is not None:
            return self._known.total(rows, parts)
        return np.sum([*parts.values()], axis=0)  # type: ignore[no-any-return]

    def whole(self, rows: Rows) -> Reals:
        return np.sum([self._part(n, rows) for n in range(len(self._parties))], axis=0)  # type: ignore[no-any-return]

    def learning(self, round: Round) -> frozenset[int]:
        return round.here

    def _part(self, party: int, rows: Rows) -> Reals:
        one = self._parties[party]
        return one.network.outputs(one.table(rows)).astype(np.float32).astype(np.float64)


def begin(terms: Terms, data: VerticalData, hidden: int = 0, seed: int = 0) -> list[Party]:
    """Parties with weights to begin with, the same for the same seed."""
    return [Party(terms, n, table, hidden, seed) for n, table in enumerate(data.parts)]


def train(
    terms: Terms,
    data: VerticalData,
    learner: Learner,
    parties: Sequence[Party],
    sums: Sums,
    rounds: Sequence[Round],
    on_epoch: Callable[[], None] = lambda: None,
) -> list[Epoch]:
    """Every step up to one that never ends."""
    labels = _arranged(terms, data)
    losses: list[float] = []
    served: list[tuple[int, int]] = []  # right answers and records of steps
    epochs = []
    for index, round in enumerate(rounds):
        step = terms.schedule.step(index)
        if round.ends_s == np.inf:
            break
        here = labels[:, step.rows].reshape(-1)
        total = sums.total(step.rows, round)
        if step.training:
            learnt = learner.learn(total, here)
            losses.append(learnt.loss)
            for n in sums.learning(round):
                parties[n].learn(step.rows, learnt.gradient)
            continue
        served.append(_right(learner, total, here))
        if index + 1 == len(rounds) or terms.schedule.step(index + 1).training:
            accuracy = _accuracy([_held_out(terms, learner, sums, labels)])
            epochs.append(Epoch(round.ends_s, float(np.mean(losses)), accuracy, _accuracy(served)))
            losses, served = [], []
            on_epoch()
    return epochs


def centralised(
    terms: Terms, data: VerticalData, learner: Learner, parties: Sequence[Party]
) -> list[Epoch]:
    """One torch network over all columns, begun as the parties are: what has nothing to wait for.

    With F = 1 its first layer is the parties' stacked; with F = 2 it is their quadratic parts.
    """
    weights = [torch.tensor(p.network.weights, dtype=torch.float32) for p in parties]
    if terms.bounds.factors == 1:
        weights = [torch.cat(weights, dim=1)]
    widths = [w.shape[1] for w in weights]
    for w in weights:
        w.requires_grad_()
    optimiser = torch.optim.Adam([*weights, *learner.top.parameters()], terms.learning.rate)
    whole = torch.tensor(np.concatenate(data.parts, axis=1), dtype=torch.float32)
    table = torch.from_numpy(terms.schedule.arrange(whole.numpy()))
    labels = _arranged(terms, data)

    def logits(x: torch.Tensor) -> torch.Tensor:
        blocks = zip(x.split(widths, dim=1), weights, strict=True)
        sums = [torch.prod(part @ w, dim=0) for part, w in blocks]
        return learner.top(torch.stack(sums).sum(0))  # type: ignore[no-any-return]

    epochs, losses = [], []
    for index in range(len(terms.schedule)):
        step = terms.schedule.step(index)
        if step.training:
            here = torch.from_numpy(labels[:, step.rows].reshape(-1))
            optimiser.zero_grad()
            answers = logits(table[:, step.rows].reshape(-1, table.shape[2]))
            loss = cross_entropy(answers, here, ignore_index=NO_LABEL)
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        elif index + 1 == len(terms.schedule) or terms.schedule.step(index + 1).training:
            with torch.no_grad():
                answers = logits(whole[data.training :])
            right = answers.argmax(1).numpy() == data.labels[data.training :]
            epochs.append(
                Epoch(0.0, float(np.mean(losses)), float(right.mean()), float(right.mean()))
            )
            losses = []
    return epochs


def _arranged(terms: Terms, data: VerticalData) -> NDArray[np.int64]:
    """(K, h + h') labels, NO_LABEL where a segment is filled up."""
    return terms.schedule.arrange(data.labels - NO_LABEL) + NO_LABEL


def _held_out(
    terms: Terms, learner: Learner, sums: Sums, labels: NDArray[np.int64]
) -> tuple[int, int]:
    rows = np.arange(terms.schedule.heights[0], terms.schedule.height)
    return _right(learner, sums.whole(rows), labels[:, rows].reshape(-1))


def _right(learner: Learner, sums: Reals, labels: NDArray[np.int64]) -> tuple[int, int]:
    known = labels != NO_LABEL
    right = learner.logits(sums).argmax(1) == labels
    return int(right[known].sum()), int(known.sum())


def _accuracy(counts: Sequence[tuple[int, int]]) -> float:
    right, records = np.sum(counts, axis=0)
    return float(right / records)
