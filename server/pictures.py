"""Uploaded pictures, the baseline's input: size and format are checked before any decoding."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narrows.codec.manifest import InputSpec
from narrows.images.preprocess import pad_to_stride
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.refusal import Refusal

FORMATS = ("JPEG", "WEBP")
Status = inference_pb2.FrameStatus


def open_picture(data: bytes, rule: InputSpec, max_pixels: int) -> Image.Image:
    """Read a picture's header and check its size against the bundle's rule. Raises Refusal."""
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # Pillow's parsers raise whatever malformed bytes lead them to
        raise Refusal(Status.MALFORMED, f"expected a JPEG or WebP picture: {error}") from None
    width, height = picture.size
    longest = int(rule.short_side * rule.max_aspect)
    if width * height > max_pixels or not (
        min(width, height) >= 1 and max(width, height) <= longest
    ):
        raise Refusal(
            Status.WRONG_SHAPE,
            f"a picture of {width} x {height}: resize its short side to {rule.short_side}, "
            f"its long side to at most {longest}",
        )
    return picture


def decode_picture(picture: Image.Image, stride: int) -> NDArray[np.uint8]:
    """An opened picture -> uint8 (height, width, 3), padded to the stride. Raises Refusal."""
    try:
        pixels = np.array(picture.convert("RGB"))
    except Exception as error:  # as above: a truncated or hostile file ends here, not in the server
        raise Refusal(Status.MALFORMED, f"the picture does not decode: {error}") from None
    return pad_to_stride(pixels, stride)
