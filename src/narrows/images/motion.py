"""Short videos made of photographs: a camera that stands, pans or zooms over one, with its noise.

For counting tables and for measuring them on other photographs; no video is a substitute for a
camera's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOM = 1.4  # a photograph's scale, over the frame's size, so that the frame has room to move


@dataclass(frozen=True)
class Motion:
    """Of a camera: pixels a frame across and down, scale a frame, and its noise's deviation."""

    across: float = 0.0
    down: float = 0.0
    zoom: float = 1.0
    noise: float = 2.0  # of 255, Gaussian, of every pixel anew

    @classmethod
    def drawn(cls, rng: np.random.Generator, fastest: float) -> "Motion":
        """A third of cameras stand still; others pan up to `fastest` pixels and zoom a little."""
        noise = rng.uniform(0, 4)
        if rng.random() < 1 / 3:
            return cls(noise=noise)
        across, down = rng.uniform(-fastest, fastest, 2)
        return cls(across, down / 4, 1 + rng.uniform(-0.005, 0.005), noise)


def sequence(
    picture: NDArray[np.uint8], motion: Motion, frames: int, rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """uint8 (height, width, 3) -> that many frames of its size, the window's middle at its own.

    A window that reaches the picture's edge stops there.
    """
    height, width = picture.shape[:2]
    wide, high = round(width * ROOM), round(height * ROOM)
    scene = Image.fromarray(picture).resize((wide, high), Image.Resampling.BICUBIC)
    for index in range(frames):
        step = index - (frames - 1) / 2
        scale = min(ROOM, motion.zoom**step)
        w, h = width * scale, height * scale
        left = np.clip((wide - w) / 2 + step * motion.across, 0, wide - w)
        top = np.clip((high - h) / 2 + step * motion.down, 0, high - h)
        box = (float(left), float(top), float(left + w), float(top + h))
        frame = scene.resize((width, height), Image.Resampling.BILINEAR, box=box)
        noisy = np.asarray(frame) + rng.normal(0, motion.noise, (height, width, 3))
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
