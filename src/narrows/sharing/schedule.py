"""Which rows a session computes on, step by step: the same for all who know its numbers.

The records, in the order all parties agreed on, are first the training rows, then the held-out
ones. Both are cut into K segments of their own, and stand below each other in one table of height
h + h': a step takes b rows r, and computes on row r of all K segments at once, K * b records.

1. An epoch takes every row below h once, in the order of SHA-256(seed, epoch, row).
2. After each epoch the rows from h on, in their own order, without learning from them.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError
from narrows.sharing.segments import split_rows

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """One round's work."""

    rows: Rows  # (b,) in [0, h + h')
    epoch: int
    training: bool


@dataclass(frozen=True)
class Schedule:
    """The steps of a session. With no epochs it is one pass over the held-out rows: prediction.

    Raises:
        ConfigError: a count below what it must be at least.
    """

    records: int
    held_out: int  # the last of the records
    segments: int  # K
    batch_rows: int  # b
    epochs: int
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"records": 1, "held_out": 0, "segments": 1, "batch_rows": 1, "epochs": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected {bound} or more")
        if self.held_out > self.records or (self.epochs and self.held_out == self.records):
            raise ConfigError(
                f"{self.held_out} of {self.records} records held out: none is left to learn from"
            )

    @property
    def heights(self) -> tuple[int, int]:
        """h and h': rows of a segment of the training and of the held-out records."""
        return -(-(self.records - self.held_out) // self.segments), -(
            -self.held_out // self.segments
        )

    @property
    def height(self) -> int:
        """h + h': rows of the table that is shared."""
        return sum(self.heights)

    def __len__(self) -> int:
        train, held_out = self._counts
        return self.epochs * (train + held_out) if self.epochs else held_out

    def step(self, index: int) -> Step:
        """The step of that number, 0 to len - 1."""
        train, held_out = self._counts
        epoch, place = divmod(index, train + held_out) if self.epochs else (0, index + train)
        h, b = self.heights[0], self.batch_rows
        if place < train:
            return Step(_order(self.seed, epoch, h)[place * b : (place + 1) * b], epoch, True)
        first = h + (place - train) * b
        return Step(np.arange(first, min(first + b, self.height)), epoch, False)

    def arrange(self, table: NDArray[Any]) -> NDArray[Any]:
        """(records, ...) in the agreed order to (K, h + h', ...), filled up with zeros."""
        flat = table.reshape(self.records, -1)
        parts = np.split(flat, [self.records - self.held_out])
        segments = [split_rows(part, self.segments) for part in parts]
        whole = np.concatenate(segments, axis=1)
        return whole.reshape(self.segments, self.height, *table.shape[1:])

    @property
    def _counts(self) -> tuple[int, int]:
        train, held_out = (-(-height // self.batch_rows) for height in self.heights)
        return train, held_out


@lru_cache(4)
def _order(seed: int, epoch: int, rows: int) -> Rows:
    def digest(row: int) -> bytes:
        return hashlib.sha256(f"{seed}/{epoch}/{row}".encode()).digest()

    return np.array(sorted(range(rows), key=digest), np.int64)
