"""What all clients of a round agree on about their updates, and the proof that no sum wraps.

A coordinate is an integer of at most `levels` steps, so over n clients a sum is one of
2 * n * levels + 1 values. Modulo 2**b with 2**b above that, it is the sum itself: b bits per
coordinate are enough, and they are what is sent. Weights and metrics are sums modulo 2**32.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError

Integers = NDArray[np.int64]

BLOCK = 256  # coordinates rotated together
RANGE_SIGMAS = 4  # a rotated coordinate is held to so many times its root mean square
METRIC_STEPS = 1 << 16  # per unit
LARGEST = (1 << 31) - 1  # of a sum modulo 2**32


class UpdateTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an update becomes integers; the same for all clients of a round."""

    size: int  # numbers in the model
    kept: int  # of them are sent, the same of all clients: a random subset that `seed` gives
    norm: (
        float  # the quantised update's largest L2 norm, which is a sum's sensitivity to one client
    )
    levels: int  # a coordinate is a whole number of steps, -levels to levels
    largest_weight: int  # examples count up to this many; 1: all clients weigh the same
    metrics: tuple[str, ...]  # of the training that are averaged, under masks as the update is
    seed: bytes  # public, fresh every round

    def __post_init__(self) -> None:
        for name in ("size", "kept", "levels", "largest_weight"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.kept <= self.size:
            raise ConfigError(f"kept = {self.kept} must be at most the model's size, {self.size}")
        if not 0 < self.norm < float("inf"):
            raise ConfigError(f"norm must be above 0 and finite, not {self.norm}")
        if len(self.seed) != 32:
            raise ConfigError(f"seed: expected 32 bytes, got {len(self.seed)}")

    @property
    def coordinates(self) -> int:
        """Of the quantised update: `kept`, filled up to whole blocks."""
        return -(-self.kept // BLOCK) * BLOCK

    @property
    def head(self) -> int:
        """Sums modulo 2**32 before the coordinates: the weight, then each metric times it."""
        return 1 + len(self.metrics)

    @property
    def clip_norm(self) -> float:
        """What an update's L2 norm is cut to before it is quantised.

        Rounding moves each coordinate by less than a step, so the norm by less than
        sqrt(coordinates) steps of RANGE_SIGMAS * clip_norm / sqrt(size) / levels: together at
        most `norm`.
        """
        rounding = RANGE_SIGMAS * (self.coordinates / self.size) ** 0.5 / self.levels
        return self.norm / (1 + rounding)

    @property
    def step(self) -> float:
        """What one unit of a coordinate is worth."""
        return RANGE_SIGMAS * self.clip_norm / self.size**0.5 / self.levels

    def coordinate_bits(self, clients: int) -> int:
        """b, the modulus 2**b of the coordinates in a round of so many clients.

        Raises:
            ConfigError: a sum of weights or of coordinates could wrap; it names the numbers.
        """
        if clients * self.largest_weight > LARGEST:
            raise ConfigError(
                f"{clients} clients' weights up to {self.largest_weight} could sum to more than "
                f"{LARGEST}: lower largest_weight"
            )
        bits = (2 * clients * self.levels).bit_length()
        if bits > 32:
            raise ConfigError(
                f"a sum of {clients} clients' {self.levels} levels needs {bits} bits, and masks "
                "have 32: take fewer levels"
            )
        return bits

    def metric_limit(self, clients: int) -> int:
        """The largest |metric| that may be sent, in steps: so many clients' sum does not wrap."""
        return LARGEST // clients


def signed(sums: NDArray[np.uint32], bits: int) -> Integers:
    """Residues modulo 2**bits as integers in [-2**(bits-1), 2**(bits-1))."""
    half = 1 << (bits - 1)
    return (sums.astype(np.int64) + half) % (1 << bits) - half
