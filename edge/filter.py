"""Whether there is anything in a frame worth sending: a tiny classifier on the head's own features.

The neural filter of Matsubara and Levorato (ICPR 2020), as a logistic regression of the latent's
means and maxima: a few hundred multiplications, on features that are there anyway.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from narrows.errors import BundleError


def pooled(latent: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (C, height, width) -> (2 C,): each channel's mean and maximum."""
    return np.concatenate([latent.mean((1, 2)), latent.max((1, 2))])


class PresenceFilter:
    """Says of a latent whether its frame shows anything."""

    def __init__(self, weight: NDArray[np.float32], bias: float, threshold: float):
        """weight: float32 (2 C,), of `pooled`; scores of at least `threshold` pass."""
        self.weight, self.bias, self.threshold = weight, bias, threshold

    def score(self, latent: NDArray[np.float32]) -> float:
        """How likely something is there, 0 to 1."""
        activation = float(self.weight @ pooled(latent)) + self.bias
        return float(1 / (1 + np.exp(-np.clip(activation, -60, 60))))

    def passes(self, latent: NDArray[np.float32]) -> bool:
        """Whether the frame is to be sent."""
        return self.score(latent) >= self.threshold

    def to_arrays(self) -> dict[str, NDArray]:
        """Named arrays for a safetensors file."""
        rest = np.array([self.bias, self.threshold], np.float32)
        return {"weight": self.weight.astype(np.float32), "bias_threshold": rest}

    @classmethod
    def load(cls, path: Path, channels: int) -> "PresenceFilter":
        """Read a bundle's filter. Raises BundleError where it is none, or for another head."""
        try:
            arrays = load_file(path)
            weight, (bias, threshold) = arrays["weight"], arrays["bias_threshold"].tolist()
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise BundleError(f"{path}: not a filter: {error}") from None
        if weight.shape != (2 * channels,) or weight.dtype != np.float32:
            raise BundleError(f"{path}: weights {weight.shape}: expected ({2 * channels},)")
        return cls(weight, bias, threshold)
