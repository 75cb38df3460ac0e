"""A server in a process of its own, and packets to send to it: what serving benches begin with."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.head import load_head
from narrows.errors import LinkError
from narrows.images.preprocess import pad_to_stride

PACKETS = 64


@contextmanager
def serving(bundle: Path, *options: str) -> Iterator[dict[str, Any]]:
    """`narrows serve BUNDLE OPTIONS`: what it announces, `{"address", "replicas", ...}`.

    Raises:
        LinkError: it does not start.
    """
    command = [sys.executable, "-m", "narrows", "serve", str(bundle), "--port", "0", "--json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise LinkError("the server did not start: see its message above")
            yield json.loads(line)
        finally:
            process.terminate()


def packets_of(bundle: Path, point: int) -> list[bytes]:
    """Of smooth random pictures: what they show does not matter here, their size does."""
    manifest = Manifest.load(bundle)
    head, codec = load_head(bundle, manifest), load_frame_codec(bundle, manifest)
    rng, side = np.random.default_rng(0), manifest.input.short_side
    packets = []
    for _ in range(PACKETS):
        coarse = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
        picture = np.kron(coarse, np.ones((-(-side // 7), -(-side // 7), 1), np.uint8))
        picture = np.ascontiguousarray(picture[:side, :side])
        packets.append(codec.encode(head.run(pad_to_stride(picture, manifest.input.stride)), point))
    return packets
