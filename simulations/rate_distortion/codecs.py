"""Picture codecs as baselines: the preprocessed picture as a file, to the unsplit network."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from narrows.edge.encoder import PICTURE_OPTIONS
from narrows.errors import ConfigError

Picture = NDArray[np.uint8]  # (height, width, 3)

# Denser where accuracy falls. AVIF at speed 6 costs 20 times JPEG's time already.
QUALITIES = {
    "jpeg": (1, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 90),
    "webp": (0, 3, 8, 15, 25, 40, 60, 85),
    "avif": (5, 10, 15, 20, 30, 40, 55, 80),
}
AVIF: dict[str, Any] = {"speed": 6, "subsampling": "4:2:0", "max_threads": 1}
OPTIONS = PICTURE_OPTIONS | {"avif": AVIF}


def check_codec(codec: str) -> None:
    """Raises ConfigError where Pillow was built without the codec."""
    if codec == "avif" and not features.check("avif"):
        raise ConfigError("this Pillow has no AVIF: pip install 'pillow>=11.3'")


def encode(picture: Picture, codec: str, quality: int) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, codec, quality=quality, **OPTIONS[codec])
    return file.getvalue()


def decode(data: bytes) -> Picture:
    """What a server gets of it."""
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
