"""A device's times on one core of this machine: the head, the whole network, a picture's JPEG."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.encoder import encode_picture
from narrows.edge.head import load_head, onnx_session
from narrows.images.preprocess import pad_to_stride

RUNS = 30
QUALITIES = (10, 30, 60, 90)  # whose JPEG is timed
SENT_QUALITY, PICTURES = 60, 16  # of what a server is measured with


def head_ms(bundle: Path) -> float:
    """Median of a device's work on one picture until it has a packet."""
    manifest = Manifest.load(bundle)
    head, codec = load_head(bundle, manifest), load_frame_codec(bundle, manifest)
    side = manifest.input.short_side
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    padded = pad_to_stride(picture, manifest.input.stride)
    return _median_ms(lambda: codec.encode(head.run(padded), 0))


def whole_ms(bundle: Path) -> float | None:
    """Median of the whole network on ONNX Runtime; None for a bundle of several tasks."""
    manifest = Manifest.load(bundle)
    if set(manifest.labels_of) != {"classification"}:
        return None
    from narrows.models.bundle import load_tail
    from narrows.models.onnx_unsplit import export_unsplit

    side = manifest.input.short_side
    picture = photograph_like(side, np.random.default_rng(0))
    padded = pad_to_stride(picture, manifest.input.stride)[None]
    with tempfile.TemporaryDirectory() as scratch:
        path = export_unsplit(load_tail(bundle), side, Path(scratch) / "unsplit.onnx")
        session = onnx_session(path, "image", "probabilities", threads=1)
        return _median_ms(lambda: session.run(["probabilities"], {"image": padded}))


def encode_ms(side: int) -> dict[int, float]:
    """Median of a JPEG, by its quality."""
    picture = photograph_like(side, np.random.default_rng(0))
    return {q: _median_ms(partial(encode_picture, picture, "jpeg", q)) for q in QUALITIES}


def pictures_of(side: int) -> list[bytes]:
    """JPEG files to measure a server with."""
    rng = np.random.default_rng(0)
    return [
        encode_picture(photograph_like(side, rng), "jpeg", SENT_QUALITY) for _ in range(PICTURES)
    ]


def photograph_like(side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (side, side, 3): noise whose power falls with its frequency, as photographs' does."""
    total, cells = np.zeros((side, side, 3)), 2
    while cells < side:
        coarse = rng.normal(size=(cells, cells, 3)) * 0.4 + rng.normal(size=(cells, cells, 1))
        block = -(-side // cells)
        total += np.kron(coarse, np.ones((block, block, 1)))[:side, :side] / cells**0.6
        cells *= 2
    return np.clip(128 + 90 * total, 0, 255).astype(np.uint8)


def _median_ms(call: Callable[[], Any]) -> float:
    took = []
    for _ in range(RUNS):
        began = perf_counter()
        call()
        took.append(1e3 * (perf_counter() - began))
    return float(np.median(took))
