"""The whole network on the device: the baseline that sends nothing."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from narrows.codec.manifest import InputSpec
from narrows.edge.head import onnx_session
from narrows.images.preprocess import pad_to_stride, resize_and_crop


@dataclass(frozen=True)
class LocalAnswer:
    """The most probable label, and what it took."""

    index: int
    probability: float
    preprocess_ns: int
    network_ns: int


class LocalAnswerer:
    """An unsplit network as ONNX: uint8 "image" (1, H, W, 3) -> float32 "probabilities" (1, n)."""

    def __init__(self, path: Path, rule: InputSpec, threads: int = 1):
        """Load the model. Raises BundleError when its input or output is another."""
        self._session = onnx_session(path, "image", "probabilities", threads)
        self._rule = rule

    def answer(self, image: Image.Image) -> LocalAnswer:
        """Classify one picture of any size."""
        started = time.monotonic_ns()
        picture = resize_and_crop(image, self._rule.short_side, self._rule.max_aspect)
        padded = pad_to_stride(picture, self._rule.stride)
        prepared = time.monotonic_ns()
        probabilities = self._session.run(["probabilities"], {"image": padded[None]})[0][0]
        finished = time.monotonic_ns()
        index = int(np.argmax(probabilities))
        return LocalAnswer(
            index, float(probabilities[index]), prepared - started, finished - prepared
        )
