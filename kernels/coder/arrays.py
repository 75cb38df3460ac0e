"""What every implementation of the coder agrees on: table layout, constants, results."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PRECISION = 14  # bits of a table's probabilities
TOTAL = 1 << PRECISION
LOWER = 1 << 16  # L: a lane's state lies in [L, 2^32) between symbols
MAX_TAIL = 0xFFFF
MAX_LANES = 64
MAX_SYMBOLS = 1 << 13  # in one channel's table


class CorruptStream(ValueError):
    """The decoder reached a state that no encoder produces."""


@dataclass(frozen=True, eq=False)
class TableArrays:
    """Integer tables of C channels.

    offsets: int32 (C,), the smallest symbol in the table
    lengths: int32 (C,), symbols in the table, without the escape that follows them
    cdf: uint16, per channel lengths + 2 entries: 0, ..., start of the escape, 2^14

    Raises:
        ValueError: arrays that are not such tables. Coders rely on it and check nothing again.
    """

    offsets: NDArray[np.int32]
    lengths: NDArray[np.int32]
    cdf: NDArray[np.uint16]
    prepared: dict[str, Any] = field(
        default_factory=dict, repr=False
    )  # an implementation's own form

    def __post_init__(self) -> None:
        _check_rows(self.offsets, self.lengths, self.cdf)
        _check_cdf(self.lengths.astype(np.int64), self.cdf.astype(np.int64))

    @property
    def channels(self) -> int:
        return len(self.offsets)

    def starts(self) -> NDArray[np.int64]:
        """Where each channel's entries begin in `cdf`; one more than channels."""
        return np.concatenate([[0], np.cumsum(self.lengths.astype(np.int64) + 2)])


class EncodedPayload(NamedTuple):
    """The coded bytes, and the two header fields that decoding them needs."""

    payload: bytes
    lanes: int
    tail: int


def check_frame(frame: NDArray, dtype: type, tables: TableArrays) -> None:
    """Raises ValueError unless the frame is that type and (the tables' channels, height, width)."""
    if frame.ndim != 3 or len(frame) != tables.channels or frame.dtype != dtype:
        raise ValueError(
            f"expected {np.dtype(dtype)} ({tables.channels}, height, width), "
            f"got {frame.dtype} {frame.shape}"
        )


def check_counts(symbols: NDArray, counts: NDArray, tables: TableArrays) -> None:
    """Raises ValueError unless the counts, one a table, share out int16 (n,)."""
    if symbols.ndim != 1 or symbols.dtype != np.int16:
        raise ValueError(f"expected int16 (n,), got {symbols.dtype} {symbols.shape}")
    if counts.dtype != np.uint64 or counts.shape != (tables.channels,):
        raise ValueError(
            f"expected uint64 counts ({tables.channels},), got {counts.dtype} {counts.shape}"
        )
    if int(counts.sum()) != len(symbols):
        raise ValueError(f"counts of {int(counts.sum())} symbols in all, {len(symbols)} came")


def check_lanes(lanes: int) -> None:
    """Raises ValueError unless lanes is 0 or a power of two to 64."""
    if lanes & (lanes - 1) or not 0 <= lanes <= MAX_LANES:
        raise ValueError(f"lanes must be a power of two from 1 to {MAX_LANES}, got {lanes}")


def fault_of_sizes(payload_bytes: int, symbols: int, lanes: int, tail: int) -> str | None:
    """Why no payload has these sizes, or None."""
    fits = (
        1 <= lanes <= MAX_LANES
        and lanes & (lanes - 1) == 0
        and 0 <= tail <= symbols
        and not (lanes == 1 and tail)
        and payload_bytes >= 4 * lanes
        and payload_bytes % 2 == 0
    )
    if fits:
        return None
    return f"{payload_bytes} payload bytes do not fit {lanes} lanes and a tail of {tail}"


def _check_rows(offsets: NDArray, lengths: NDArray, cdf: NDArray) -> None:
    if offsets.dtype != np.int32 or lengths.dtype != np.int32 or cdf.dtype != np.uint16:
        raise ValueError("expected int32 offsets and lengths and uint16 cdf")
    if offsets.shape != lengths.shape or offsets.ndim != 1 or not len(offsets):
        raise ValueError(f"{offsets.shape} offsets for {lengths.shape} lengths")
    if (lengths < 1).any() or (lengths > MAX_SYMBOLS).any():
        raise ValueError(f"a table of no symbol, or of more than {MAX_SYMBOLS}")
    lasts = offsets.astype(np.int64) + lengths - 1
    if (offsets < -0x8000).any() or (lasts > 0x7FFF).any():
        raise ValueError("a table's symbols go beyond int16")


def _check_cdf(lengths: NDArray[np.int64], cdf: NDArray[np.int64]) -> None:
    ends = np.cumsum(lengths + 2)
    if cdf.shape != (int(ends[-1]),):
        raise ValueError(f"{cdf.shape} cdf entries, the lengths need {int(ends[-1])}")
    rises = np.delete(np.diff(cdf), ends[:-1] - 1)  # not those from one channel to the next
    firsts, lasts = cdf[np.concatenate([[0], ends[:-1]])], cdf[ends - 1]
    if (firsts != 0).any() or (lasts != TOTAL).any() or (rises < 1).any():
        raise ValueError(f"a cdf must rise from 0 to {TOTAL} by at least 1")
