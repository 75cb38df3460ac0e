"""The ways to send updates that are compared: ours, published ones by their own rules, fixed ones.

L-GreCo's and ComPEFT's bytes are counted as their papers do, without our entropy coder, and go up
alone: what comes down is the float32 model. Fixed settings are the same for every layer, both ways,
and do go through our coder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.errors import ConfigError
from narrows.federated.compression.compressors import (
    FEWEST_LOW_RANK,
    Choice,
    Coded,
    Reals,
    approximation,
    levels,
    low_rank,
    ternary,
)
from narrows.federated.compression.feedback import Compressor, Labels, Planned
from narrows.federated.compression.layers import Tensor
from narrows.federated.compression.plan import cheapest

FLOAT_BITS = 32


@dataclass(frozen=True)
class Method:
    """How a run sends: nothing compressed (nothing up), or what goes up and what comes down."""

    name: str
    says: str
    up: Callable[[], Compressor] | None = None
    down: Callable[[], Compressor] = Planned
    error_up: float = 0.0
    error_down: float = 0.0
    own_sizes: bool = False  # bytes up by the paper's rule, down as float32


class LGreco:
    """PowerSGD, with the rank of each layer that its programme gives; float32 factors.

    The budget is the error of rank DEFAULT in every layer (alpha = 1), ranks from half of it to
    twice (gamma = 0.5, beta = 2); what is no matrix goes as float32, as in PowerSGD.
    """

    DEFAULT, RANKS = 4, (2, 3, 4, 5, 6, 7, 8)

    def __init__(self) -> None:
        self.written_bits = 0.0

    def __call__(
        self, changes: Sequence[Reals], tensors: Sequence[Tensor], labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:  # fmt: skip
        """As `Compressor`; the budget is its own."""
        tried = [self._tried(c, tensor) for c, tensor in zip(changes, tensors, strict=True)]
        defaults = [next((o for o in options if o.coded.rank == self.DEFAULT), options[0])
                    for options in tried]  # fmt: skip
        budget = sum(choice.error for choice in defaults)
        chosen = cheapest([[o.error for o in options] for options in tried],
                          [[o.bits for o in options] for options in tried],
                          budget * (1 + 1e-3))  # fmt: skip
        found = [options[index] for options, index in zip(tried, chosen, strict=True)]
        self.written_bits += sum(choice.bits for choice in found)
        return [choice.coded for choice in found]

    def _tried(self, change: Reals, tensor: Tensor) -> list[Choice]:
        rows, columns = tensor.matrix
        ranks = [rank for rank in self.RANKS if rank * (rows + columns) < tensor.size]
        wide = rows > 1 and tensor.size >= FEWEST_LOW_RANK
        coded = [low_rank(change, tensor, rank) for rank in ranks] if wide else []
        coded = coded or [levels(change, max(float(np.abs(change).max(initial=0)) * 2**-15, 1e-30))]
        return [Choice(one, float(np.square(change - approximation(one, tensor)).sum()),
                       FLOAT_BITS * (one.rank * (rows + columns) or tensor.size))
                for one in coded]  # fmt: skip


class Compeft:
    """The signs of the largest 5 % and one magnitude, alpha = 1 times the standard deviation.

    Bits are the paper's bound, positions at their entropy: d (H2(k) + k) + one scalar.
    """

    DENSITY, ALPHA = 0.05, 1.0

    def __init__(self) -> None:
        self.written_bits = 0.0

    def __call__(
        self, changes: Sequence[Reals], tensors: Sequence[Tensor], labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:  # fmt: skip
        """As `Compressor`; one threshold and one magnitude for the whole model."""
        together = np.concatenate(changes)
        signs = ternary(together, self.DENSITY).integers[0]
        k = float(np.count_nonzero(signs)) / signs.size
        if 0 < k < 1:
            entropy = -k * np.log2(k) - (1 - k) * np.log2(1 - k)
            self.written_bits += signs.size * (entropy + k)
        self.written_bits += FLOAT_BITS
        scale = (float(np.float32(self.ALPHA * together.std())),)
        parts = np.split(signs, np.cumsum([change.size for change in changes])[:-1])
        return [Coded(0, scale, (part,)) for part in parts]


@dataclass(frozen=True)
class FixedDensity:
    """The same share of every layer's numbers, as signs and a magnitude."""

    density: float

    def __call__(
        self, changes: Sequence[Reals], tensors: Sequence[Tensor], labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:  # fmt: skip
        """As `Compressor`; no budget."""
        return [ternary(change, self.density) for change in changes]


@dataclass(frozen=True)
class FixedRank:
    """The same rank in every layer, levels of half a root mean square where there is no matrix."""

    rank: int

    def __call__(
        self, changes: Sequence[Reals], tensors: Sequence[Tensor], labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:  # fmt: skip
        """As `Compressor`; no budget."""
        return [self._coded(change, t) for change, t in zip(changes, tensors, strict=True)]

    def _coded(self, change: Reals, tensor: Tensor) -> Coded:
        if tensor.size >= FEWEST_LOW_RANK and change.any():
            return low_rank(change, tensor, min(self.rank, *tensor.matrix))
        length = float(np.sqrt(np.square(change, dtype=np.float64).mean()))
        return levels(change, max(0.5 * length, 1e-30))


def _fixed(name: str, says: str, compressor: Compressor) -> Method:
    return Method(f"fixed_{name}", says, lambda: compressor, lambda: compressor)


METHODS = {
    method.name: method
    for method in (
        Method("fedavg", "float32 both ways"),
        Method(
            "ours", "planned layers, our coder, both ways", Planned, error_up=0.12, error_down=0.25
        ),
        Method("lgreco", "ranks 2 to 8 by its programme, up", LGreco, own_sizes=True),
        Method("compeft", "5 % signs, one magnitude, up", Compeft, own_sizes=True),
        _fixed("rank4", "rank 4 in every layer, both ways", FixedRank(4)),
        _fixed("rank8", "rank 8 in every layer, both ways", FixedRank(8)),
        _fixed("rank16", "rank 16 in every layer, both ways", FixedRank(16)),
        _fixed("5%", "signs of 5 % of every layer, both ways", FixedDensity(0.05)),
    )
}


def methods(names: str) -> list[Method]:
    """By their names, separated by commas. Raises ConfigError: one that there is not."""
    found = []
    for name in names.split(","):
        if name not in METHODS:
            raise ConfigError(f"--methods {name}: expected some of {', '.join(METHODS)}")
        found.append(METHODS[name])
    return found


def written_bytes(compressor: Any) -> int:
    """Of what a published method would have sent, by its own rule."""
    return int(np.ceil(compressor.written_bits / 8))
