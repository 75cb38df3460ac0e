"""Integer probability tables: what makes a packet decode to the same symbols on every machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import BundleError
from narrows.kernels.coder import TableArrays
from narrows.kernels.coder import cost_bits as kernel_cost_bits
from narrows.kernels.coder.arrays import MAX_SYMBOLS, PRECISION, TOTAL


@dataclass(frozen=True, eq=False)
class CodingTables:
    """One table per channel; the last entry of each is the escape."""

    arrays: TableArrays

    @property
    def channels(self) -> int:
        return self.arrays.channels

    @classmethod
    def from_pmfs(cls, pmfs: Sequence[NDArray], offsets: Sequence[int]) -> "CodingTables":
        """Quantise probability mass functions to 14 bits.

        pmfs: one array per channel, of any length and sum; entry i belongs to symbol offset + i.
        Improbable ends are cut off where coding them as escapes is cheaper than the codepoints
        they would take from the others. The same input gives the same table on every machine.

        Raises:
            ValueError: an empty pmf, values that are negative or not finite, or symbols that are
                worth keeping beyond int16.
        """
        cut = [
            _truncated(np.asarray(pmf, np.float64), int(o))
            for pmf, o in zip(pmfs, offsets, strict=True)
        ]
        frequencies = [_integers(mass) for mass, _ in cut]
        cdf = [np.concatenate([[0], np.cumsum(f)]) for f in frequencies]
        return cls(
            TableArrays(
                np.array([offset for _, offset in cut], np.int32),
                np.array([len(f) - 1 for f in frequencies], np.int32),
                np.concatenate(cdf).astype(np.uint16),
            )
        )

    def cost_bits(self, symbols: NDArray[np.int16]) -> float:
        """Ideal code length of int16 (C, H, W) under these tables, escapes included."""
        return kernel_cost_bits(symbols, self.arrays)

    def to_arrays(self, prefix: str = "") -> dict[str, NDArray]:
        """Named arrays for a safetensors file."""
        a = self.arrays
        return {f"{prefix}offsets": a.offsets, f"{prefix}lengths": a.lengths, f"{prefix}cdf": a.cdf}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray], prefix: str = "") -> "CodingTables":
        """Read and check what `to_arrays` wrote. Raises BundleError."""
        try:
            offsets, lengths, cdf = (arrays[prefix + n] for n in ("offsets", "lengths", "cdf"))
        except KeyError as error:
            raise BundleError(f"tables: no tensor {error}: export the bundle again") from None
        try:
            return cls(TableArrays(offsets, lengths, cdf))
        except ValueError as error:
            raise BundleError(
                f"tables: {prefix or '-'}: {error}: export the bundle again"
            ) from None


def _truncated(pmf: NDArray[np.float64], offset: int) -> tuple[NDArray[np.float64], int]:
    """The pmf's middle and its escape mass, as one array; and the middle's first symbol.

    Raises:
        ValueError: no mass at all.
    """
    if (
        pmf.ndim != 1
        or not len(pmf)
        or not np.isfinite(pmf).all()
        or (pmf < 0).any()
        or pmf.sum() <= 0
    ):
        raise ValueError("a pmf must be a non-empty row of finite, non-negative numbers")
    pmf = pmf / pmf.sum()
    best = min(_candidates(pmf), key=lambda bounds: _expected_bits(pmf, *bounds))
    low, high = best
    escape = pmf[:low].sum() + pmf[high:].sum()
    return np.append(pmf[low:high], escape), offset + low


def _candidates(pmf: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Bounds that keep all symbols above a threshold, for thresholds around a codepoint's mass."""
    found = []
    for threshold in [*(2.0 ** -np.arange(PRECISION - 4, PRECISION + 6)), 0.0]:
        kept = np.flatnonzero(pmf > threshold)
        if len(kept) and kept[-1] - kept[0] < MAX_SYMBOLS:
            found.append((int(kept[0]), int(kept[-1]) + 1))
    if not found:
        peak = int(pmf.argmax())
        found.append((peak, peak + 1))
    return sorted(set(found))


def _expected_bits(pmf: NDArray[np.float64], low: int, high: int) -> float:
    """Mean code length with [low, high) in the table and all else escaped."""
    mass = np.append(pmf[low:high], pmf[:low].sum() + pmf[high:].sum())
    bits = float(-(mass * np.log2(_integers(mass) / TOTAL)).sum())
    below = pmf[:low] @ _escape_bits(np.arange(low, 0, -1))
    above = pmf[high:] @ _escape_bits(np.arange(1, len(pmf) - high + 1))
    return bits + float(below) + float(above)


def _escape_bits(distance: NDArray) -> NDArray[np.float64]:
    """Raw bits of an escape `distance` symbols beyond the table: docs/bitstream.md."""
    bits: NDArray[np.float64] = 6 + np.floor(np.log2(distance))
    return bits


def _integers(mass: NDArray[np.float64]) -> NDArray[np.int64]:
    """Frequencies >= 1 that sum to 2^14, a codepoint moved where it costs least or pays most."""
    if len(mass) > TOTAL:
        raise ValueError(f"{len(mass)} symbols do not fit {TOTAL} codepoints")
    mass = mass / mass.sum()
    frequencies: NDArray[np.int64] = np.maximum(1, np.rint(mass * TOTAL)).astype(np.int64)
    while (excess := int(frequencies.sum()) - TOTAL) != 0:
        step = -1 if excess > 0 else 1
        changed = frequencies + step
        price = np.where(changed >= 1, mass * np.log2(frequencies / np.maximum(changed, 1)), np.inf)
        # Several at once when far off; the order of a stable sort keeps it the same everywhere.
        count = max(1, min(abs(excess), len(mass) // 4))
        chosen = np.argsort(price, kind="stable")[:count]
        frequencies[chosen[np.isfinite(price[chosen])]] += step
    return frequencies
