"""YOLOX's body (Ge et al., arXiv:2107.08430), its norms folded into the convolutions.

For pretrained weights: it has no norms left to train with. `narrows.models.tasks.yolox` is its neck
and head.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from narrows.models.backbones.backbone import Backbone

NANO = (16, 32, 64, 128, 256)  # widths at 1/2 (stem), 1/4, 1/8, 1/16 and 1/32 of the side
PLAIN = ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))  # it takes pixels in 0..255


def conv(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """Convolution and SiLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2), nn.SiLU())


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then 1x1."""
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs)
    return nn.Sequential(depthwise, nn.SiLU(), *conv(inputs, outputs))


class _Bottleneck(nn.Module):
    def __init__(self, width: int, shortcut: bool):
        super().__init__()
        self.first, self.second, self.shortcut = (
            conv(width, width),
            separable(width, width),
            shortcut,
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        return x + y if self.shortcut else y


class CrossStage(nn.Module):
    """Half of the channels through bottlenecks, half past them (Wang et al., CVPRW 2020)."""

    def __init__(self, inputs: int, outputs: int, blocks: int = 1, shortcut: bool = False):
        super().__init__()
        hidden = outputs // 2
        self.through, self.past = conv(inputs, hidden), conv(inputs, hidden)
        self.blocks = nn.Sequential(*(_Bottleneck(hidden, shortcut) for _ in range(blocks)))
        self.join = conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.blocks(self.through(x)), self.past(x)], 1)
        return self.join(both)  # type: ignore[no-any-return]


class _Focus(nn.Module):
    """(batch, 3, h, w) -> (batch, 12, h/2, w/2): every second pixel, four times."""

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = x[:, :, ::2], x[:, :, 1::2]
        parts = (top[..., ::2], bottom[..., ::2], top[..., 1::2], bottom[..., 1::2])
        return torch.cat(parts, 1)


class _PyramidPool(nn.Module):
    """What is seen within 5, 9 and 13 positions beside each (He et al., TPAMI 2015)."""

    def __init__(self, width: int):
        super().__init__()
        self.reduce, self.join = conv(width, width // 2), conv(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        pooled = [nn.functional.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13)]
        return self.join(torch.cat([x, *pooled], 1))  # type: ignore[no-any-return]


def yolox_nano(labels: int, stride: int = 8) -> Backbone:
    """Cut at 32 or 64 channels. The classifier is nobody's: YOLOX has none."""
    widths = NANO
    stem = nn.Sequential(_Focus(), conv(12, widths[0], 3))
    stages: list[nn.Sequential] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        down = separable(inputs, outputs, stride=2)
        if outputs == widths[-1]:
            parts = (_PyramidPool(outputs), CrossStage(outputs, outputs))
        else:
            parts = (CrossStage(outputs, outputs, 3 if i else 1, shortcut=True),)  # type: ignore[assignment]
        stages.append(nn.Sequential(down, *parts))
    at_4, at_8, *later = stages
    classify = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], labels))
    if stride == 4:
        front, first = nn.Sequential(stem, at_4), at_8
    else:  # the neck takes the features at the cut as well
        front, first = nn.Sequential(stem, at_4, at_8), nn.Sequential(nn.Identity())
    channels = (widths[1 if stride == 4 else 2], widths[-1])
    body = nn.Sequential(first, *later)
    return Backbone(
        front, body, classify, f"dark{2 if stride == 4 else 3}", channels, stride, PLAIN
    )
