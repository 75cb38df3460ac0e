"""What an inversion attack learns from and is measured on: photographs, their latents and packets.

Photographs are squares whose side is a multiple of the head's stride, so that every position of
the latent stands for the same number of pixels; targets are those squares at half the side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from narrows.codec.frame import FrameCodec
from narrows.edge.head import HeadRunner
from narrows.images.annotated import photographs
from narrows.images.preprocess import resize_and_crop
from narrows.simulations.evaluation import evenly

Pictures = NDArray[np.uint8]  # (n, side, side, 3)
Latents = NDArray[np.float32]  # (n, channels, h, w)


@dataclass(frozen=True, eq=False)
class View:
    """Photographs as the head sees them, and what it makes of them."""

    pictures: Pictures
    latents: Latents

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def cell(self) -> int:
        """Pixels across of the target for each position of the latent."""
        return self.pictures.shape[1] // 2 // self.latents.shape[2]

    def wanted(self, rows: slice | NDArray[np.int64]) -> Tensor:
        """The targets: float32 (n, 3, side/2, side/2) in 0..1."""
        chosen = np.ascontiguousarray(self.pictures[rows])
        return F.avg_pool2d(torch.from_numpy(chosen).permute(0, 3, 1, 2).float() / 255, 2)

    def mean(self) -> Tensor:
        """The mean target: float32 (3, side/2, side/2)."""
        summed = [self.wanted(slice(i, i + 64)).double().sum(0) for i in range(0, len(self), 64)]
        return (torch.stack(summed).sum(0) / len(self)).float()

    def received(self, codec: FrameCodec, point: int, rows: slice | NDArray[np.int64]) -> Tensor:
        """What a server, or an eavesdropper, has of packets: float32 (n, channels, h, w)."""
        symbols = [codec.quantise(latent, point) for latent in self.latents[rows]]
        return torch.from_numpy(np.stack([codec.dequantise(s, point) for s in symbols]))

    def packet_bytes(self, codec: FrameCodec, point: int) -> list[int]:
        """Of every photograph's packet at a point."""
        return [len(codec.encode(latent, point)) for latent in self.latents]


def read_pictures(data: Path, part: str, limit: int | None, side: int) -> Pictures:
    """Photographs of a part, spread evenly over it, centre-cropped. Raises SourceError."""
    images, names = photographs(data, part)
    chosen: Sequence[str] = evenly(names, limit)
    shown = track(chosen, f"{part}: photographs", console=Console(stderr=True), transient=True)
    return np.stack([resize_and_crop(images.image(name), side, 1.0) for name in shown])


def view_of(head: HeadRunner, pictures: Pictures, what: str) -> View:
    """Run the head on uint8 (n, side, side, 3); `what`: the progress bar's name."""
    shown = track(pictures, f"{what}: latents", console=Console(stderr=True), transient=True)
    return View(pictures, np.stack([head.run(np.ascontiguousarray(p)) for p in shown]))


def side_of(short_side: int, stride: int) -> int:
    """The side the head takes, rounded up to whole strides."""
    return -(-short_side // stride) * stride
