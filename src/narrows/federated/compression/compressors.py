"""Ways to say a tensor in few integers: ternary, levels with a dead zone, low rank.

Each setting yields a `Choice`: integers and scales, the squared error they leave and the bits they
would cost. `plan` chooses one a tensor.

Ternary: Yadav et al., "ComPEFT" (arXiv 2311.13171), with the magnitude that leaves the least error.
Low rank: Vogels et al., "PowerSGD" (arXiv 1905.13727), its factors on levels as well.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from narrows.errors import CorruptPayload
from narrows.federated.compression.coding import Reader
from narrows.federated.compression.contexts import Integers
from narrows.federated.compression.layers import Tensor

MOST_RANK = 32
FEWEST_LOW_RANK = 1024  # numbers; below, factors are hardly smaller than the tensor
DEAD_ZONE = 0.65  # of a step: what is below becomes 0, which is what most bits are saved by
FARTHEST_STEP = 1 << 22  # on a grid, in one difference
ROUNDING = 0.2  # of what a rank leaves out: what rounding each factor may cost besides
LEAST_LEFT_OUT = 1e-3  # of a tensor's squared length, when its rank leaves out less
_KIND, _SCALE = struct.Struct("<B"), struct.Struct("<f")

Reals = NDArray[np.float32]


class Kind(NamedTuple):
    """How a tensor is written: its rank (0: number by number), and a scale for each part."""

    rank: int
    scales: tuple[float, ...]

    def labels(self, tensor: Tensor, own: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The group of every integer of every part; a factor's by how early its column comes."""
        if not self.rank:
            return [own]
        rows, columns = tensor.matrix
        octave = np.array([n.bit_length() - 1 for n in range(1, self.rank + 1)], np.uint8)
        return [np.tile(octave, rows), np.repeat(octave, columns)]


@dataclass(frozen=True, eq=False)
class Coded:
    """A tensor in integers: one part, or the two factors of a low rank."""

    rank: int
    scales: tuple[float, ...]
    integers: tuple[Integers, ...]

    def head(self) -> bytes:
        """Rank and scales, as `read_kind` reads them."""
        return _KIND.pack(self.rank) + b"".join(_SCALE.pack(scale) for scale in self.scales)


@dataclass(frozen=True, eq=False)
class Choice:
    """A way to code a tensor: the squared L2 error it leaves, its size in bits."""

    coded: Coded
    error: float
    bits: float


@dataclass(frozen=True)
class Settings:
    """What is tried on every tensor."""

    densities: tuple[float, ...] = (0.01,)
    steps: tuple[float, ...] = (5.6, 4.0, 2.8, 2.0, 1.4, 1.0, 0.5, 0.25)  # of root mean squares
    ranks: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24)


def choices(
    change: Reals, tensor: Tensor, labels: NDArray[np.uint8], settings: Settings
) -> list[Choice]:
    """Every setting's result on a flat change, nothing at all first."""
    energy = float(np.square(change, dtype=np.float64).sum())
    silent = Coded(0, (0.0,), (np.zeros(change.size, np.int32),))
    found = [Choice(silent, energy, 8.0)]
    if energy == 0:
        return found
    for coded in _tried(change, tensor, settings):
        left = change - approximation(coded, tensor)
        error = float(np.square(left, dtype=np.float64).sum())
        found.append(Choice(coded, error, _bits(coded, tensor, labels)))
    return found


def approximation(coded: Coded, tensor: Tensor) -> Reals:
    """What the integers stand for, flat float32; low ranks differ in rounding between machines."""
    rows, columns = tensor.matrix
    with np.errstate(over="ignore", invalid="ignore"):  # hostile scales: the caller looks
        parts = [
            np.multiply(integers, np.float32(scale), dtype=np.float32)
            for integers, scale in zip(coded.integers, coded.scales, strict=True)
        ]
        if not coded.rank:
            return parts[0]
        left, right = parts[0].reshape(rows, coded.rank), parts[1].reshape(coded.rank, columns)
        return (left @ right).ravel()


def grid_steps(coded: Coded, tensor: Tensor, exponent: int) -> Integers:
    """What the integers stand for in steps of 2**exponent: int32 (n,), the same on every machine.

    Sums of products of integers are exact in float64 below 2**53, one rounding follows them.

    Raises:
        CorruptPayload: integers too large for that, as no encoder writes.
    """
    scale = np.ldexp(float(np.prod(np.asarray(coded.scales, np.float64))), -exponent)
    whole = coded.integers[0].astype(np.float64)
    if coded.rank:
        rows, columns = tensor.matrix
        largest = [int(np.abs(part.astype(np.int64)).max(initial=0)) for part in coded.integers]
        if largest[0] * largest[1] * coded.rank >= 1 << 53:
            raise CorruptPayload(f"factors to {largest} in {tensor.name}: resend")
        right = coded.integers[1].astype(np.float64).reshape(coded.rank, columns)
        whole = (whole.reshape(rows, coded.rank) @ right).ravel()
    return np.clip(np.rint(whole * scale), -FARTHEST_STEP, FARTHEST_STEP).astype(np.int32)


def parts_of(
    coded: Coded, tensor: Tensor, labels: NDArray[np.uint8]
) -> list[tuple[Integers, NDArray[np.uint8]]]:
    """The integers and the group of each, for the coder."""
    groups = Kind(coded.rank, coded.scales).labels(tensor, labels)
    return list(zip(coded.integers, groups, strict=True))


def read_kind(reader: Reader, tensor: Tensor) -> Kind:
    """Rank and scales. Raises CorruptPayload: none that an encoder writes; or TruncatedPacket."""
    (rank,) = _KIND.unpack(reader.take(_KIND.size))
    if rank > min(MOST_RANK, *tensor.matrix) or (rank and tensor.size < FEWEST_LOW_RANK):
        raise CorruptPayload(f"rank {rank} for {tensor.name} of shape {tensor.shape}: resend")
    scales = tuple(_SCALE.unpack(reader.take(_SCALE.size))[0] for _ in range(2 if rank else 1))
    if not np.isfinite(scales).all():
        raise CorruptPayload(f"scales {scales} for {tensor.name}: resend")
    return Kind(rank, scales)


def ternary(change: Reals, density: float) -> Coded:
    """Signs of the share of numbers that are largest, and their mean magnitude."""
    magnitudes = np.abs(change)
    kept = max(1, round(density * change.size))
    threshold = np.partition(magnitudes, change.size - kept)[change.size - kept]
    large = (magnitudes >= threshold) & (magnitudes > 0)
    scale = float(np.float32(magnitudes[large].mean())) if large.any() else 0.0
    return Coded(0, (scale,), ((np.sign(change) * large).astype(np.int32),))


def levels(change: Reals, step: float) -> Coded:
    """Multiples of a step, numbers below DEAD_ZONE of it as 0."""
    scale = np.float32(step)
    magnitudes = np.abs(change) / scale
    whole = np.where(magnitudes < DEAD_ZONE, 0, np.maximum(1, np.rint(magnitudes)))
    integers = np.clip(whole, 0, 1 << 20).astype(np.int32)
    return Coded(0, (float(scale),), (np.where(change < 0, -integers, integers),))


def low_rank(change: Reals, tensor: Tensor, rank: int) -> Coded:
    """The product of two factors in integers."""
    return _factors(*_principal(change, tensor, rank), change.reshape(tensor.matrix), rank)


def _principal(change: Reals, tensor: Tensor, rank: int) -> tuple[Reals, Reals]:
    """The first left singular vectors, (rows, rank), and singular values: two turns of the power
    method, from the columns with the most in them."""
    matrix = change.reshape(tensor.matrix)
    heavy = np.argsort(-np.square(matrix).sum(0), kind="stable")[:rank]
    basis = np.linalg.qr(matrix[:, heavy])[0]
    for _ in range(2):
        basis = np.linalg.qr(matrix @ (matrix.T @ basis))[0]
    turned, values, _ = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    return basis @ turned, values


def _factors(left: Reals, values: Reals, matrix: Reals, rank: int) -> Coded:
    """The first `rank` of them times their values' roots, and what suits them best, on levels.

    Steps are such that rounding a factor costs a share of what the rank leaves out.
    """
    rows, columns = matrix.shape
    energy = float(np.square(matrix, dtype=np.float64).sum())
    kept = np.maximum(values[:rank], 1e-30).astype(np.float64)
    left_out = max(energy - float(np.square(kept).sum()), LEAST_LEFT_OUT * energy)
    step = np.sqrt(12 * ROUNDING * left_out / float(kept.sum()))
    scaled = (left[:, :rank] * np.sqrt(kept)).astype(np.float32)
    coded = levels(scaled.ravel(), max(step / np.sqrt(rows), 1e-30))
    plain = coded.integers[0].reshape(rows, rank).astype(np.float64) * coded.scales[0]
    square = plain.T @ plain + 1e-9 * np.eye(rank) * max(float(kept.max()), 1e-30)
    right = np.linalg.solve(square, plain.T @ matrix).astype(np.float32)
    other = levels(right.ravel(), max(step / np.sqrt(columns), 1e-30))
    return Coded(rank, coded.scales + other.scales, coded.integers + other.integers)


def _tried(change: Reals, tensor: Tensor, settings: Settings) -> Iterator[Coded]:
    length = _length(change)
    for density in settings.densities:
        yield ternary(change, density)
    for step in settings.steps:
        if step * length > 1e-30:
            yield levels(change, step * length)
    most = min(MOST_RANK, *tensor.matrix)
    ranks = [rank for rank in settings.ranks if rank <= most]
    if tensor.size >= FEWEST_LOW_RANK and ranks:
        matrix = change.reshape(tensor.matrix)
        left, values = _principal(change, tensor, max(ranks))
        for rank in ranks:
            yield _factors(left, values, matrix, rank)


def _length(values: Reals) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


def _bits(coded: Coded, tensor: Tensor, labels: NDArray[np.uint8]) -> float:
    """Entropies of all groups, and what is written besides."""
    return sum(
        24.0 + _entropy(integers, groups) for integers, groups in parts_of(coded, tensor, labels)
    ) + 8.0 * len(coded.head())


def _entropy(integers: Integers, groups: NDArray[np.uint8]) -> float:
    """Bits of integers whose groups are known, tables included."""
    width = 64
    symbols = np.clip(np.abs(integers), 0, width - 1).astype(np.int64)
    number = int(groups.max(initial=0)) + 1
    places = groups.astype(np.int64) * width + symbols
    counts = np.bincount(places, minlength=number * width).reshape(number, width)
    totals = counts.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -np.where(counts > 0, counts * np.log2(counts / totals), 0).sum()
    return float(bits) + int(np.count_nonzero(symbols)) + 24 * number
