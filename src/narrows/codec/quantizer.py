"""Features to integers and back: one gain, one inverse gain and one median per channel."""

import numpy as np
from numpy.typing import NDArray

LIMIT = 0x7FFF


def quantise(
    latent: NDArray[np.float32], gain: NDArray[np.float32], median: NDArray[np.float32]
) -> NDArray[np.int16]:
    """float32 (C, H, W) -> int16 (C, H, W): round(latent * gain - median), clipped to int16."""
    scaled = latent * gain[:, None, None]
    scaled -= median[:, None, None]
    np.rint(scaled, out=scaled)
    symbols: NDArray[np.int16] = np.clip(scaled, -LIMIT, LIMIT, out=scaled).astype(np.int16)
    return symbols


def dequantise(
    symbols: NDArray[np.int16], inverse_gain: NDArray[np.float32], median: NDArray[np.float32]
) -> NDArray[np.float32]:
    """int16 (..., C, H, W) -> float32, same shape: (symbols + median) * inverse gain."""
    restored: NDArray[np.float32] = (symbols + median[:, None, None]) * inverse_gain[:, None, None]
    return restored.astype(np.float32, copy=False)
