"""What every implementation of the coder agrees on: table layout, constants, results."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISION = 14  # bits of a table's probabilities
TOTAL = 1 << PRECISION
LOWER = 1 << 16  # L: a lane's state lies in [L, 2^32) between symbols
MAX_TAIL = 0xFFFF
MAX_LANES = 64


class CorruptStream(ValueError):
    """The decoder reached a state that no encoder produces."""


@dataclass(frozen=True, eq=False)
class TableArrays:
    """Integer tables of C channels.

    offsets: int32 (C,), the smallest symbol in the table
    lengths: int32 (C,), symbols in the table, without the escape that follows them
    cdf: uint16, per channel lengths + 2 entries: 0, ..., start of the escape, 2^14
    """

    offsets: NDArray[np.int32]
    lengths: NDArray[np.int32]
    cdf: NDArray[np.uint16]
    prepared: dict[str, Any] = field(
        default_factory=dict, repr=False
    )  # an implementation's own form

    @property
    def channels(self) -> int:
        return len(self.offsets)

    def starts(self) -> NDArray[np.int64]:
        """Where each channel's entries begin in `cdf`; one more than channels."""
        return np.concatenate([[0], np.cumsum(self.lengths.astype(np.int64) + 2)])


@dataclass(frozen=True)
class EncodedPayload:
    """The coded bytes, and the two header fields that decoding them needs."""

    payload: bytes
    lanes: int
    tail: int
