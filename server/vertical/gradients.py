"""The latest gradients, for parties that are slow to hear of them.

A party learns from the rounds whose sum had its weights of then. Pushed by gradients of a sum that
its earlier weights are in, its weights of now would run away: nothing it learns shows in that sum.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.protos.narrows.v1 import vertical_pb2 as pb

REMEMBERED = 64  # rounds that a party may be late to hear of without losing any


@dataclass(frozen=True)
class Told:
    """A round's gradient, and whose weights of then were in its sum."""

    gradient: pb.Gradient
    fresh: frozenset[int]


class Gradients:
    """In the order of their rounds."""

    def __init__(self, told: Iterable[Told] = ()) -> None:
        self._told = deque(told, maxlen=REMEMBERED)
        self._learnt: dict[int, int] = {}

    def add(self, round: int, step: int, values: NDArray[np.float32], fresh: Iterable[int]) -> None:
        """(K * b, e) of the sums of that step."""
        gradient = pb.Gradient(round=round, step=step, values=values.astype("<f4").tobytes())
        self._told.append(Told(gradient, frozenset(fresh)))

    def learnt(self, party: int, round: int) -> None:
        """The party has learnt from that of `round` and from those before."""
        self._learnt[party] = max(round, self._learnt.get(party, 0))

    def missing(self, party: int) -> list[pb.Gradient]:
        """What the party is to learn from and has not, as far as it is still known."""
        after = self._learnt.get(party, 0)
        return [t.gradient for t in self._told if party in t.fresh and t.gradient.round > after]

    @property
    def latest(self) -> list[Told]:
        return list(self._told)[-1:]
