"""narrows-encode as a process: frames in, packets out, and Python's packets beside them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narrows.codec.manifest import Manifest
from narrows.edge.encoder import load_feature_encoder

Pixels = NDArray[np.uint8]  # (height, width, 3)


@dataclass(frozen=True)
class Run:
    code: int
    packets: list[bytes]
    error: str


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ppm(pixels: Pixels) -> bytes:
    return b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()


def unpacked(stream: bytes) -> list[bytes]:
    """Packets one after the other, each behind its length."""
    found = []
    while stream:
        size = int.from_bytes(stream[:4], "little")
        assert len(stream) >= 4 + size, "a packet is cut off"
        found.append(stream[4 : 4 + size])
        stream = stream[4 + size :]
    return found


def run(program: Path, *arguments: str | Path, frames: bytes = b"", before: tuple = ()) -> Run:
    """The program with `frames` on stdin; `before` it, such as an emulator."""
    command = [*before, str(program), *map(str, arguments)]
    done = subprocess.run(command, input=frames, capture_output=True)
    return Run(done.returncode, unpacked(done.stdout), done.stderr.decode())


def expected(bundle: Path, pictures: list[Pixels], point: int = 0) -> list[bytes]:
    """What the Python device sends."""
    encoder = load_feature_encoder(bundle, Manifest.load(bundle))
    return [encoder.encode(Image.fromarray(p), point).data for p in pictures]
