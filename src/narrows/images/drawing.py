"""Answers drawn into photographs: the label, boxes, a mask that shines through."""

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

OPACITY = 0.45  # of the mask
GOLDEN = 0.618034  # steps of hue that never come close to an earlier one

Drawn = tuple[str, float, tuple[float, float, float, float]]  # name, score, corners


def draw(
    photograph: Image.Image,
    label: str = "",
    boxes: Sequence[Drawn] = (),
    mask: NDArray[np.uint8] | None = None,
    names: Sequence[str] = (),
) -> Image.Image:
    """A copy with everything drawn; boxes and mask (height, width) in the photograph's pixels.

    Class 0 of a mask is left clear where it is the background; 255 always is.
    """
    picture = photograph.convert("RGB")
    if mask is not None:
        clear = 0 if names and names[0] == "background" else 255
        picture = _covered(picture, mask, clear)
    pen = ImageDraw.Draw(picture)
    size = max(11, min(picture.size) // 22)
    font = ImageFont.load_default(size)
    for name, score, (x0, y0, x1, y1) in boxes:
        if x1 <= x0 or y1 <= y0:
            continue
        tint = colour(sum(name.encode()))
        pen.rectangle((x0, y0, x1, y1), outline=tint, width=max(2, size // 6))
        _caption(pen, (x0, max(0, y0 - size - 4)), f"{name} {score:.0%}", tint, font)
    if label:
        _caption(pen, (0, picture.height - size - 6), label, (0, 0, 0), font)
    return picture


def colour(index: int) -> tuple[int, int, int]:
    """A class's, the same everywhere."""
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _covered(picture: Image.Image, mask: NDArray[np.uint8], clear: int) -> Image.Image:
    palette = np.array([colour(i) for i in range(256)], np.float32)
    pixels = np.asarray(picture, np.float32)
    mixed = pixels * (1 - OPACITY) + palette[mask] * OPACITY
    shown = (mask != clear) & (mask != 255)
    return Image.fromarray(np.where(shown[..., None], mixed, pixels).round().astype(np.uint8))


def _caption(
    pen: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    tint: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x0, y0, x1, y1 = pen.textbbox(corner, text, font=font)
    pen.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), fill=tint)
    bright = sum(tint) > 380
    pen.text(corner, text, fill=(0, 0, 0) if bright else (255, 255, 255), font=font)
