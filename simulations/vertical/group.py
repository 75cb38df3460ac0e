"""Parties of a round on secret shares that one process plays, each by the code of a real one.

1. `begin`, `share_tables`, then `take_tables`: once in a session.
2. `share_round`: weights and zero-masks of every party here, in blocks for every group.
3. `respond`: what every party here computes from what all have shared.

What goes from group to group is what parties would send each other, less the sealing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.sharing.field import Field
from narrows.sharing.fixed_point import Reals
from narrows.sharing.party import RoundShare, compute, share_round, share_table
from narrows.sharing.schedule import Rows
from narrows.sharing.terms import Terms

Texts = NDArray[np.uint8]  # (holders, evaluators, bytes)


@dataclass(frozen=True)
class Work:
    """Seconds of a core, of each party here; bytes that they made for others and themselves."""

    seconds: list[float]
    bytes: int = 0


class Group:
    """The index-th group of parties, in one session after another."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._tables: list[list[Field]] = []  # by party here, by holder: (h, d_n)

    def begin(self, terms: Terms, cuts: Sequence[int]) -> float:
        """`cuts`: every group's first party, and N. Makes the code's matrices, as every party does.

        Returns the seconds of a core that this takes.
        """
        self.terms = terms
        self.cuts = cuts
        self.members = range(cuts[self._index], cuts[self._index + 1])
        self._tables.clear()
        started = thread_time()
        _ = terms.code.encoder, terms.code.replicated_encoder, terms.code.zero_encoder
        return thread_time() - started

    def share_tables(self) -> list[Any]:
        """A block (holders, evaluators, h, d_n) for every group, and the work."""
        shares, seconds = [], []
        for party in self.members:
            started = thread_time()
            shares.append(share_table(self.terms, table_of(self.terms, party)))
            seconds.append(thread_time() - started)
        whole = np.stack(shares)
        return [*self._blocks(whole), Work(seconds, whole.nbytes)]

    def take_tables(self, *blocks: Field) -> None:
        """Every group's block for this one."""
        self._tables = [
            [table for block in blocks for table in block[:, place]]
            for place in range(len(self.members))
        ]

    def share_round(self, rows: int) -> list[Any]:
        """A block of texts (holders, evaluators, bytes) for every group, and the work."""
        blocks, seconds = [], []
        for party in self.members:
            started = thread_time()
            texts = share_round(self.terms, weights_of(self.terms, party), rows)
            seconds.append(thread_time() - started)
            blocks.append(np.frombuffer(b"".join(texts), np.uint8).reshape(len(texts), -1))
        whole = np.stack(blocks)
        return [*self._blocks(whole), Work(seconds, whole.nbytes)]

    def respond(self, rows: Rows, *blocks: Texts) -> tuple[Field, Work]:
        """(parties here, b, e), of every group's block for this one."""
        answers, seconds = [], []
        for place, tables in enumerate(self._tables):
            texts = [text.tobytes() for block in blocks for text in block[:, place]]
            started = thread_time()
            shares = [
                RoundShare.decode(text, self.terms, holder, len(rows))
                for holder, text in enumerate(texts)
            ]
            answers.append(compute(self.terms, tables, shares, rows))
            seconds.append(thread_time() - started)
        whole = np.stack(answers)
        return whole, Work(seconds, whole.nbytes)

    def _blocks(self, whole: NDArray[Any]) -> list[NDArray[Any]]:
        parts = np.split(whole, list(self.cuts[1:-1]), axis=1)
        return [np.ascontiguousarray(part) for part in parts]


def table_of(terms: Terms, party: int) -> Reals:
    """(records, d_n): that party's table, the same wherever it is asked for."""
    shape = terms.schedule.records, terms.bounds.columns[party]
    return np.random.default_rng([party, 0]).uniform(-1, 1, shape)


def weights_of(terms: Terms, party: int) -> Reals:
    """(F, d_n, e)."""
    shape = terms.bounds.factors, terms.bounds.columns[party], terms.width
    return np.random.default_rng([party, 1]).uniform(-1, 1, shape)
