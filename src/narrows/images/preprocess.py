"""The rule that brings a photograph to a network's size, the same in training, tests and devices.

1. EXIF orientation applied, colours to RGB (alpha over black is dropped, not blended).
2. Resized so that the short side is `short_side` (bilinear, antialiased); else untouched.
3. The long side centre-cropped to at most `max_aspect` times the short one.
4. `pad_to_stride`, for the head alone: right and bottom edges repeated up to a multiple of the
   stride. A codec baseline gets the picture before this step.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


def resize_and_crop(image: Image.Image, short_side: int, max_aspect: float) -> NDArray[np.uint8]:
    """Any picture -> uint8 (height, width, 3) with min(height, width) == short_side."""
    image = _as_rgb(ImageOps.exif_transpose(image))
    width, height = image.size
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
    return np.array(image)


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
