"""The ways to send updates that are compared: ours, published ones by their own rules, fixed ones.

L-GreCo's and ComPEFT's bytes are counted as their papers do, without an entropy coder of ours, and
go up alone: what comes down is the float32 model. Fixed settings are the same for every layer, both
ways, and do go through our coder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.errors import ConfigError
from narrows.federated.compression.compressors import Choice, Coded, Reals, ternary
from narrows.federated.compression.feedback import (
    Compressor,
    Labels,
    Planned,
    planned,
)
from narrows.federated.compression.layers import Tensor

SCALE_BITS = 32  # of a tensor's one float32


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
    """Uniform levels, as many bits a layer as its programme gives, no entropy coder.

    The budget is the error of DEFAULT bits in every layer (alpha = 1).
    """

    DEFAULT, LEAST, MOST = 4, 2, 8

    def __init__(self) -> None:
        self.written_bits = 0.0

    def __call__(
        self, changes: Sequence[Reals], tensors: Sequence[Tensor], labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:  # fmt: skip
        """As `Compressor`; the budget is its own."""
        tried = [[self._quantised(c, bits) for bits in range(self.LEAST, self.MOST + 1)]
                 for c in changes]  # fmt: skip
        budget = sum(options[self.DEFAULT - self.LEAST].error for options in tried)
        # `planned` takes its share of the first option's errors, the coarsest here.
        whole = sum(options[0].error for options in tried)
        chosen = planned(tried, budget / whole if whole else 0.0)
        self.written_bits += sum(choice.bits for choice in chosen)
        return [choice.coded for choice in chosen]

    def _quantised(self, change: Reals, bits: int) -> Choice:
        """Between minus and plus the largest magnitude, 2**bits - 1 levels; QSGD without chance."""
        most = (1 << (bits - 1)) - 1
        scale = np.float32(max(float(np.abs(change).max(initial=0)) / most, 1e-30))
        integers = np.rint(change / scale).astype(np.int32)
        error = float(np.square(change - integers * scale, dtype=np.float64).sum())
        coded = Coded(0, (float(scale),), (integers,))
        return Choice(coded, error, bits * change.size + SCALE_BITS)


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
        self.written_bits += SCALE_BITS
        scale = (float(np.float32(self.ALPHA * together.std())),)
        parts = np.split(signs, np.cumsum([change.size for change in changes])[:-1])
        return [Coded(0, scale, (part,)) for part in parts]


@dataclass(frozen=True)
class Fixed:
    """The same share of every layer's numbers, as signs and a magnitude."""

    density: float

    def __call__(
        self, changes: Sequence[Reals], tensors: Sequence[Tensor], labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:  # fmt: skip
        """As `Compressor`; no budget."""
        return [ternary(change, self.density) for change in changes]


def fixed(density: float) -> Method:
    """A fixed setting by its density."""
    return Method(
        f"fixed_{density:g}", f"{density:.1%} of every layer, both ways",
        lambda: Fixed(density), lambda: Fixed(density),
    )  # fmt: skip


METHODS = {
    method.name: method
    for method in (
        Method("fedavg", "float32 both ways"),
        Method(
            "ours", "planned layers, our coder, both ways", Planned, error_up=0.3, error_down=0.3
        ),
        Method("lgreco", "2 to 8 bits a number by its programme, up", LGreco, own_sizes=True),
        Method("compeft", "5 % signs, one magnitude, up", Compeft, own_sizes=True),
        fixed(0.01),
        fixed(0.03),
        fixed(0.1),
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
