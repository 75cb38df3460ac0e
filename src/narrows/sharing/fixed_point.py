"""Real numbers as residues: x is held as round(x * 2**bits) mod p, negatives as p - |.|."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError
from narrows.sharing.field import Field

Reals = NDArray[np.float64]

LARGEST = 1 << 60  # of a quantised number: it fits int64 and float64 holds its power of two


@dataclass(frozen=True)
class FixedPoint:
    """A kind of number in a session: its scale and the range its values are held to.

    Raises:
        ConfigError: a limit that rounds to zero steps, or to more than 2**60 of them.
    """

    scale_bits: int  # steps of 2**-scale_bits
    limit: float  # |x| <= limit

    def __post_init__(self) -> None:
        if not 0 <= self.scale_bits <= 60 or not 1 <= self.limit * 2.0**self.scale_bits <= LARGEST:
            raise ConfigError(
                f"values up to {self.limit} at scale 2**{self.scale_bits} are not between 1 and "
                "2**60 steps: choose other scale bits or another limit"
            )

    @property
    def largest(self) -> int:
        """The largest |residue| a value in range can have, as rounding is monotone."""
        return int(np.rint(self.limit * 2.0**self.scale_bits))

    @property
    def rounding_error(self) -> float:
        """Half a step: the largest |x - dequantised x| of a value in range."""
        return 0.5**self.scale_bits / 2

    def quantise(self, values: Reals, p: int) -> Field:
        """Residues of real values of any shape; rounds half to even, the same on every machine.

        Raises:
            ConfigError: a value beyond the limit, or not a number. The overflow proof holds for
                values in range only, so they are refused and never clipped.
        """
        # First to float64: in float32 the limit would be rounded, and could let larger values in.
        values = np.asarray(values, np.float64)
        outside = ~(np.abs(values) <= self.limit)
        if outside.any():
            raise ConfigError(
                f"{np.count_nonzero(outside)} of {values.size} values are not within the session's "
                f"range of +-{self.limit}: scale them before, or agree on a wider range"
            )
        steps = np.rint(values * 2.0**self.scale_bits).astype(np.int64)
        return residues(steps, p)


def residues(integers: NDArray[np.int64], p: int) -> Field:
    """Signed integers, |.| < p, as elements of F_p."""
    return np.where(integers < 0, integers + p, integers).astype(np.uint64)


def signed(elements: Field, p: int) -> NDArray[np.int64]:
    """Elements of F_p as integers in (-p/2, p/2)."""
    integers = elements.astype(np.int64)
    return np.where(integers > p // 2, integers - p, integers)


def dequantise(elements: Field, scale_bits: int, p: int) -> Reals:
    """float64 of residues at a scale: exact below 2**53 steps, rounded once above."""
    return signed(elements, p).astype(np.float64) * 0.5**scale_bits
