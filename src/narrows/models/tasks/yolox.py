"""YOLOX's neck and head (Ge et al., arXiv:2107.08430), for pretrained weights: it has no loss."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from narrows.errors import ConfigError
from narrows.models.backbones.yolox import CrossStage, conv, separable

BEST = 100  # boxes of one frame
OVERLAP = 0.65  # of two boxes of a class, above which the lesser goes


class YoloxHead(nn.Module):
    """Maps at strides 8, 16, 32 -> boxes."""

    def __init__(
        self,
        labels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        width: int = 64,
        threshold: float = 0.01,
    ):
        """`channels` and `strides`: of the maps. Raises ConfigError for other than three."""
        super().__init__()
        if len(channels) != 3:
            raise ConfigError(f"yolox: {len(channels)} maps: expected three, as at 1/8, 1/16, 1/32")
        self.strides, self.threshold = strides, threshold
        self.neck = _Neck(*channels)
        self.levels = nn.ModuleList(_Level(c, width, labels) for c in channels)

    def forward(
        self, maps: Sequence[Tensor], size: tuple[int, int], targets: list[dict[str, Tensor]] | None
    ) -> list[dict[str, Tensor]]:
        """Maps -> a list of {"boxes" (n, 4) in pixels, "scores", "labels"}.

        Raises:
            ConfigError: targets are given.
        """
        if targets is not None:
            raise ConfigError("yolox is taken as trained: give its task no loss (`tasks = 0`)")
        levels = [
            level(m)
            for level, m in zip(self.levels, self.neck(*(m.float() for m in maps)), strict=True)
        ]
        rows = torch.cat([_boxes(y, s) for y, s in zip(levels, self.strides, strict=True)], 1)
        return [self._found(frame) for frame in rows]

    def _found(self, rows: Tensor) -> dict[str, Tensor]:
        """(positions, 4 corners + objectness + classes) -> the best boxes."""
        scores = rows[:, 4:5] * rows[:, 5:]
        position, label = (scores > self.threshold).nonzero(as_tuple=True)
        boxes, kept = rows[position, :4], scores[position, label]
        best = batched_nms(boxes, kept, label, OVERLAP)[:BEST]
        return {"boxes": boxes[best], "scores": kept[best], "labels": label[best]}


def _boxes(level: Tensor, stride: int) -> Tensor:
    """(batch, 5 + classes, h, w), raw -> (batch, h * w, 5 + classes): corners in pixels."""
    height, width = level.shape[2:]
    rows: Tensor = level.flatten(2).transpose(1, 2)
    grid: Any = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([grid[1], grid[0]], -1).reshape(-1, 2).to(rows)
    middle, half = (rows[..., :2] + places) * stride, rows[..., 2:4].exp() * stride / 2
    return torch.cat([middle - half, middle + half, rows[..., 4:].sigmoid()], -1)


class _Neck(nn.Module):
    """Down from 1/32 to 1/8 and up again (Liu et al., CVPR 2018)."""

    def __init__(self, fine: int, middle: int, coarse: int):
        super().__init__()
        self.lateral, self.at_16 = conv(coarse, middle), CrossStage(2 * middle, middle)
        self.reduce, self.at_8 = conv(middle, fine), CrossStage(2 * fine, fine)
        self.to_16, self.again_16 = separable(fine, fine, 2), CrossStage(middle, middle)
        self.to_32, self.again_32 = separable(middle, middle, 2), CrossStage(coarse, coarse)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, ...]:
        lateral = self.lateral(coarse)
        reduced = self.reduce(self.at_16(torch.cat([_upsampled(lateral, middle), middle], 1)))
        at_8 = self.at_8(torch.cat([_upsampled(reduced, fine), fine], 1))
        at_16 = self.again_16(torch.cat([self.to_16(at_8), reduced], 1))
        return at_8, at_16, self.again_32(torch.cat([self.to_32(at_16), lateral], 1))


def _upsampled(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="nearest")


class _Level(nn.Module):
    """Map -> (batch, 4 + 1 + labels, h, w): box, objectness, classes, all raw."""

    def __init__(self, channels: int, width: int, labels: int):
        super().__init__()
        self.stem = conv(channels, width)
        self.classes = nn.Sequential(
            separable(width, width), separable(width, width), nn.Conv2d(width, labels, 1)
        )
        self.places = nn.Sequential(separable(width, width), separable(width, width))
        self.box, self.object = nn.Conv2d(width, 4, 1), nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        places = self.places(x)
        return torch.cat([self.box(places), self.object(places), self.classes(x)], 1)
