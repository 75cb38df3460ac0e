"""Latents of known probabilities: Laplace channels in Entropic Student's shape at 224 x 224."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.codec.tables import CodingTables

SHAPE = (24, 55, 55)
BATCH = 8
REGIMES = {"low": (0.08, 0.9), "mid": (0.3, 4.0), "high": (1.0, 12.0)}  # least and greatest scale
TAIL = 1e-9  # mass beyond the pmfs, as CompressAI's tables leave


@dataclass(frozen=True, eq=False)
class Workload:
    """A batch of latents, what a coder makes of them, and the law they follow."""

    latents: NDArray[np.float32]  # (batch, C, H, W)
    symbols: NDArray[np.int16]  # (batch, C, H, W): latents less medians, rounded
    medians: NDArray[np.float32]  # (C,)
    scales: NDArray[np.float64]  # (C,)

    @property
    def reaches(self) -> list[int]:
        """Per channel, the largest magnitude in its pmf."""
        return [int(reach) for reach in np.ceil(self.scales * -np.log(TAIL))]

    @property
    def pmfs(self) -> list[NDArray[np.float64]]:
        """Per channel, the true probabilities of -reach to reach."""
        pairs = zip(self.reaches, self.scales, strict=True)
        return [_mass(np.arange(-reach, reach + 1), scale) for reach, scale in pairs]

    @property
    def tables(self) -> CodingTables:
        """Our tables for these pmfs."""
        return CodingTables.from_pmfs(self.pmfs, [-reach for reach in self.reaches])

    @property
    def entropy_bits(self) -> float:
        """Mean bits per symbol of the law itself."""
        return float(np.mean([-(pmf * np.log2(pmf)).sum() for pmf in self.pmfs]))

    def ideal_bits(self) -> float:
        """Code length of the first latent's symbols under the law, in bits."""
        return float(-np.log2(_mass(self.symbols[0], self.scales[:, None, None])).sum())


def make_workload(scales: tuple[float, float], shape: tuple[int, int, int] = SHAPE) -> Workload:
    """A batch of Laplace channels with scales spread geometrically between two, in random order."""
    rng = np.random.default_rng(1)
    channels = shape[0]
    spread = rng.permutation(np.geomspace(*scales, channels))
    medians = rng.uniform(-0.4, 0.4, channels).astype(np.float32)
    centred = rng.laplace(size=(BATCH, *shape)) * spread[:, None, None]
    latents = (centred + medians[:, None, None]).astype(np.float32)
    symbols = np.rint(latents - medians[:, None, None]).astype(np.int16)
    return Workload(latents, symbols, medians, spread)


def _mass(values: NDArray, scale: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The Laplace law's mass of [v - 1/2, v + 1/2], exact far out in the tails."""
    distance = np.abs(values)
    near, beyond = np.exp(-0.5 / scale), np.exp(-(distance + 0.5) / scale)
    mass: NDArray[np.float64] = np.where(
        distance == 0, 1 - near, (np.exp(1 / scale) - 1) * beyond / 2
    )
    return mass
