"""Frames of a video, each coded against the one before: what did not change costs next to nothing.

A symbol's table is picked by its channel and by the symbol that stood at its place in the frame
before (its context, as in context-based arithmetic coding: Rissanen & Langdon, IEEE Trans. IT
1981); what is coded is the difference to that symbol. Symbols of one table travel together as one
row, so that the coder's lanes need to know nothing of contexts. Integers only: every machine
decodes the same.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from narrows.codec.tables import CodingTables
from narrows.errors import CorruptPayload, MissingReference
from narrows.kernels import coder
from narrows.kernels.coder import EncodedPayload

REACH = 2  # symbols beyond share a context with +-2
CONTEXTS = 2 * REACH + 1
# A value this far beyond the rounding interval of the symbol before still keeps that symbol: noise
# about a boundary is not coded, and no error grows from frame to frame (docs/experiments.md).
HYSTERESIS = np.float32(0.2)
WEIGHT_OF_ALL = 8.0  # symbols' worth, of all channels' counts in each channel's

Symbols = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Reference:
    """A coded frame that the next may be coded against; int16 (C, height, width) at a point."""

    symbols: Symbols
    point: int

    @cached_property
    def checksum(self) -> int:
        """CRC-32C of the symbols, raster order, two bytes each, least significant first."""
        return coder.crc32c(self.symbols.astype("<i2").tobytes())

    @cached_property
    def _scan(self) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """Positions in the order in which they are coded, and how many follow each table."""
        context = np.clip(self.symbols, -REACH, REACH) + REACH
        channel = np.arange(len(self.symbols), dtype=np.uint16)[:, None, None]
        table = (channel * np.uint16(CONTEXTS) + context.astype(np.uint16)).reshape(-1)
        counts = np.bincount(table, minlength=len(self.symbols) * CONTEXTS)
        return np.argsort(table, kind="stable"), counts.astype(np.uint64)

    def fits(self, symbols: Symbols, point: int) -> bool:
        """Whether a frame can be coded against this: same point and size, 16-bit differences."""
        if point != self.point or symbols.shape != self.symbols.shape:
            return False
        difference = symbols.astype(np.int32) - self.symbols
        return bool((difference == difference.astype(np.int16)).all())

    def encode(self, symbols: Symbols, tables: CodingTables) -> EncodedPayload:
        """A frame that `fits`, under C x CONTEXTS tables."""
        order, counts = self._scan
        difference = (symbols - self.symbols).reshape(-1)[order]
        return coder.encode_rows(difference, counts, tables.arrays)

    def decode(self, coded: EncodedPayload, tables: CodingTables) -> Symbols:
        """The inverse. Raises CorruptPayload."""
        order, counts = self._scan
        rows, (error,) = coder.decode_rows([(*coded,)], counts, tables.arrays, 1)
        if error is not None:
            raise CorruptPayload(f"the payload does not decode: {error}")
        symbols = self.symbols.astype(np.int32).reshape(-1)
        symbols[order] += rows[0]
        if (symbols != symbols.astype(np.int16)).any():
            raise CorruptPayload("the payload does not decode: a symbol beyond int16")
        return symbols.astype(np.int16).reshape(self.symbols.shape)

    def require(self, checksum: int) -> None:
        """Raises MissingReference unless this is the frame of that checksum."""
        if checksum != self.checksum:
            raise MissingReference(
                f"coded against a frame {checksum:08x}, here is {self.checksum:08x}: "
                "send a key frame"
            )


def steady(symbols: Symbols, scaled: NDArray[np.float32], reference: Reference | None) -> Symbols:
    """Rounded values, but those of the frame before where the values in steps are near enough."""
    if reference is None or reference.symbols.shape != symbols.shape:
        return symbols
    near = np.abs(scaled - reference.symbols) < np.float32(0.5) + HYSTERESIS
    return np.where(near, reference.symbols, symbols)


def tables_of(counts: NDArray[np.int64], channels: int) -> CodingTables:
    """Tables of counted differences (channels x CONTEXTS, 2 reach + 1).

    A table that saw little leans on what all channels saw in its context, and no difference is
    impossible.
    """
    reach = counts.shape[1] // 2
    by_context = counts.reshape(channels, CONTEXTS, -1).astype(np.float64)
    unseen = 2.0 ** -np.abs(np.arange(-reach, reach + 1))
    pooled = by_context.sum(0) + unseen
    pooled /= pooled.sum(1, keepdims=True)
    mass = by_context + WEIGHT_OF_ALL * pooled
    return CodingTables.from_pmfs(list(mass.reshape(counts.shape)), [-reach] * len(counts))


def count_differences(frames: list[Symbols], reach: int) -> NDArray[np.int64]:
    """A sequence of symbols (C, h, w) -> (C x CONTEXTS, 2 reach + 1), how often each difference.

    Differences beyond `reach` count as it.
    """
    counts = np.zeros((len(frames[0]) * CONTEXTS, 2 * reach + 1), np.int64)
    for before, after in pairwise(frames):
        order, sizes = Reference(before, 0)._scan
        table = np.repeat(np.arange(len(sizes)), sizes.astype(np.int64))
        difference = (after.astype(np.int32) - before).reshape(-1)[order].clip(-reach, reach)
        flat = table * (2 * reach + 1) + difference + reach
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
    return counts
