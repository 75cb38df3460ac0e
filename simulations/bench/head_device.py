"""The whole device path, photograph in memory to bytes to send, and what its process costs.

Ours is the device's own encoder. Beside it stands what a split-computing paper runs on its edge:
Entropic Student's encoder in torch and CompressAI's coder.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from narrows.codec.manifest import Manifest
from narrows.edge.encoder import load_feature_encoder
from narrows.errors import NarrowsError

STARTS = 3
Send = Callable[[NDArray[np.uint8]], bytes]

# A fresh process each: load, encode one picture, tell, and wait to be looked at.
_DEVICE = """
import sys
from pathlib import Path
import numpy
from PIL import Image
from narrows.codec.manifest import Manifest
from narrows.edge.encoder import load_feature_encoder
bundle = Path(sys.argv[1])
encoder = load_feature_encoder(bundle, Manifest.load(bundle))
encoder.encode(Image.fromarray(numpy.zeros((224, 224, 3), "uint8")), 0)
print("ready", flush=True)
sys.stdin.read()
"""
_TORCH = """
import sys
import numpy
from narrows.simulations.bench.head_device import torch_and_compressai
torch_and_compressai(1)(numpy.zeros((224, 224, 3), "uint8"))
print("ready", flush=True)
sys.stdin.read()
"""


def device_sender(bundle: Path, threads: int) -> Send:
    """The device's encoder at the bundle's finest point: uint8 RGB (height, width, 3) -> packet."""
    encoder = load_feature_encoder(bundle, Manifest.load(bundle), threads=threads)
    return lambda image: encoder.encode(Image.fromarray(image), 0).data


def torch_and_compressai(threads: int) -> Send:
    """Entropic Student's encoder as its authors run it, untrained."""
    import torch
    from compressai.entropy_models import EntropyBottleneck
    from compressai.layers import GDN1

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    head = torch.nn.Sequential(
        torch.nn.Conv2d(3, 96, 5, 2, 2, bias=False),
        GDN1(96),
        torch.nn.Conv2d(96, 48, 5, 2, 2, bias=False),
        GDN1(48),
        torch.nn.Conv2d(48, 24, 2, bias=False),
    )
    prior = EntropyBottleneck(24)
    prior.update()
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)

    @torch.inference_mode()
    def send(image: NDArray[np.uint8]) -> bytes:
        pixels = (torch.from_numpy(image).permute(2, 0, 1) - mean) / std
        string: bytes = prior.compress(head(pixels[None]))[0]
        return string

    return send


def device_process(bundle: Path) -> dict[str, float]:
    """Of a fresh device process with its first packet made: `rss_mb`, and `start_s` until then."""
    return _process(_DEVICE, str(bundle))


def torch_process() -> dict[str, float]:
    """The same of a process with torch and CompressAI."""
    return _process(_TORCH)


def _process(code: str, *arguments: str) -> dict[str, float]:
    """Medians over a few starts; the first, which fills the file cache, is not counted."""
    found = [_start(code, *arguments) for _ in range(STARTS + 1)][1:]
    return {
        "rss_mb": statistics.median(rss for rss, _ in found),
        "start_s": statistics.median(seconds for _, seconds in found),
    }


def _start(code: str, *arguments: str) -> tuple[float, float]:
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            _, reason = child.communicate()
            raise NarrowsError(f"a device process did not start: {reason.strip()[-500:]}")
        seconds = time.perf_counter() - started
        rss = psutil.Process(child.pid).memory_info().rss / 1e6
        child.communicate("")
    return rss, seconds
