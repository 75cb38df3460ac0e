"""The device's own answer: a logistic regression on the head's features, as an early exit.

BranchyNet (Teerapittayanon et al., ICPR 2016) with the smallest branch there is: the latent's means
and maxima in a grid of cells. Beside the weights the file holds what risk control needs: how sure
it was of each photograph of a calibration set, and whether keeping its answer lost a right one.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from narrows.edge.policy.risk import Calibration
from narrows.errors import BundleError

GRID = 3  # cells a side


def cells(latent: NDArray[np.float32], grid: int = GRID) -> NDArray[np.float32]:
    """float32 (C, height, width) -> (2 C grid^2,): every cell's mean and maximum by channel."""
    height, width = latent.shape[1:]
    rows, columns = _bounds(height, grid), _bounds(width, grid)
    means = [latent[:, a:b, c:d].mean((1, 2)) for a, b in rows for c, d in columns]
    maxima = [latent[:, a:b, c:d].max((1, 2)) for a, b in rows for c, d in columns]
    return np.concatenate(means + maxima)


def _bounds(size: int, grid: int) -> list[tuple[int, int]]:
    """Of cells that cover a side; they overlap where it does not divide."""
    return [(i * size // grid, -(-(i + 1) * size // grid)) for i in range(grid)]


@dataclass(frozen=True)
class ExitAnswer:
    """What the device thinks by itself."""

    index: int
    confidence: float  # the most probable label's probability
    energy: float  # minus the logarithm of the sum of exponentials: high where unfamiliar
    familiar: bool


class ExitHead:
    """Labels from a latent, with a confidence and an energy score."""

    def __init__(
        self,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        energy_limit: float,
        calibration: Calibration,
    ):
        """weight: float32 (labels, 2 C 9); bias: (labels,). Above `energy_limit`: unfamiliar.

        Energy as an out-of-distribution score: Liu et al., NeurIPS 2020.
        """
        self.weight, self.bias = weight, bias
        self.energy_limit, self.calibration = energy_limit, calibration

    def answer(self, latent: NDArray[np.float32]) -> ExitAnswer:
        """float32 (C, height, width) -> the most probable label."""
        logits = self.weight @ cells(latent) + self.bias
        index, top = int(np.argmax(logits)), float(logits.max())
        log_sum = top + float(np.log(np.exp(logits - top).sum()))
        energy = -log_sum
        return ExitAnswer(index, float(np.exp(top - log_sum)), energy, energy <= self.energy_limit)

    def to_arrays(self) -> dict[str, NDArray]:
        """Named arrays for a safetensors file."""
        return {
            "weight": self.weight.astype(np.float32),
            "bias": self.bias.astype(np.float32),
            "energy_limit": np.array([self.energy_limit], np.float32),
            "calibration.confidence": self.calibration.confidence.astype(np.float32),
            "calibration.lost": self.calibration.lost.astype(np.uint8),
        }

    @classmethod
    def load(cls, path: Path, channels: int, labels: int) -> "ExitHead":
        """Read a bundle's exit. Raises BundleError where it is none, or for another head."""
        try:
            arrays = load_file(path)
            weight, bias = arrays["weight"], arrays["bias"]
            (limit,) = arrays["energy_limit"].tolist()
            sure, lost = arrays["calibration.confidence"], arrays["calibration.lost"]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise BundleError(f"{path}: not an exit head: {error}") from None
        expected = (labels, 2 * channels * GRID * GRID)
        if weight.shape != expected or bias.shape != (labels,) or weight.dtype != np.float32:
            raise BundleError(f"{path}: weights {weight.shape}: expected {expected}")
        if sure.ndim != 1 or sure.shape != lost.shape:
            raise BundleError(f"{path}: calibration of {sure.shape} and {lost.shape}: not a set")
        return cls(weight, bias, float(limit), Calibration(sure, lost != 0))
