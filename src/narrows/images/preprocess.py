"""The rule that brings a photograph to a network's size, the same in training, tests and devices.

1. EXIF orientation applied, colours to RGB (alpha over black is dropped, not blended).
2. Resized so that the short side is `short_side` (bilinear, antialiased); else untouched.
3. The long side centre-cropped to at most `max_aspect` times the short one.
4. `pad_to_stride`, for the head alone: right and bottom edges repeated up to a multiple of the
   stride. A codec baseline gets the picture before this step.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


@dataclass(frozen=True)
class View:
    """What of a photograph the network saw: from its pixels back to the photograph's.

    The photograph is the upright one, EXIF orientation applied, as every viewer shows it.
    """

    photograph: tuple[int, int]  # (width, height), as all pairs here
    corner: tuple[int, int]  # of the crop, in the photograph: (left, top)
    crop: tuple[int, int]
    seen: tuple[int, int]  # the picture made of the crop

    def boxes(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, 4) x0, y0, x1, y1 in pixels seen -> in the photograph's, within it."""
        limit = np.array(self.photograph * 2, np.float32)
        return np.clip(seen * self._scale() + self._corner(), 0, limit)

    def to_seen(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `boxes`, nothing clipped."""
        return (boxes - self._corner()) / self._scale()

    def mask(self, seen: NDArray[np.uint8], outside: int = 255) -> NDArray[np.uint8]:
        """uint8 (h, w) labels of all that was seen, at any resolution -> (height, width).

        What was cropped away is `outside`.
        """
        scaled = Image.fromarray(seen).resize(self.crop, Image.Resampling.NEAREST)
        whole = np.full(self.photograph[::-1], outside, np.uint8)
        (left, top), (width, height) = self.corner, self.crop
        whole[top : top + height, left : left + width] = np.asarray(scaled)
        return whole

    def _scale(self) -> NDArray[np.float32]:
        return np.array([c / s for c, s in zip(self.crop, self.seen, strict=True)] * 2, np.float32)

    def _corner(self) -> NDArray[np.float32]:
        return np.array(self.corner * 2, np.float32)


def resize_and_crop(image: Image.Image, short_side: int, max_aspect: float) -> NDArray[np.uint8]:
    """Any picture -> uint8 (height, width, 3) with min(height, width) == short_side."""
    return prepare(image, short_side, max_aspect)[0]


def prepare(
    image: Image.Image, short_side: int, max_aspect: float
) -> tuple[NDArray[np.uint8], View]:
    """`resize_and_crop`, and the way back to the photograph's own pixels."""
    image = _as_rgb(ImageOps.exif_transpose(image))
    whole = width, height = image.size
    scale = short_side / min(width, height)
    longest = int(max_aspect * short_side)
    # Crop in source pixels first: a 1 x 30,000 picture must not be blown up whole.
    limit = max(1, round(longest / scale))
    if max(width, height) > limit:
        image = _centre_crop(image, min(width, limit), min(height, limit))
        width, height = image.size
    size = (
        short_side if width <= height else min(longest, max(short_side, round(width * scale))),
        short_side if height <= width else min(longest, max(short_side, round(height * scale))),
    )
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    corner = (whole[0] - width) // 2, (whole[1] - height) // 2
    return np.array(image), View(whole, corner, (width, height), size)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip 16-bit greys to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _centre_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def pad_to_stride(image: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3) -> the same with sides rounded up to multiples of `stride`."""
    bottom, right = (-image.shape[0]) % stride, (-image.shape[1]) % stride
    if not bottom and not right:
        return image
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
