"""A class for every pixel: torchvision's heads over the maps of a shared body."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.lraspp import LRASPPHead

from narrows.errors import ConfigError

KINDS = ("lraspp", "deeplabv3", "pooled_aspp")
RATES = (3, 6, 9)  # of DeepLab's atrous convolutions: those of its paper suit 513 pixels


class SegmentationHead(nn.Module):
    """Maps -> logits (batch, labels, h, w) at the first map's resolution.

    `lraspp` (Howard et al., ICCV 2019) takes the first and the last map, `deeplabv3` (Chen et al.,
    arXiv:1706.05587) the one of 1/16, and `pooled_aspp`, DeepLab's on MobileNetV2, the last.
    """

    def __init__(
        self,
        labels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        kind: str = "lraspp",
        width: int = 96,
    ):
        """`channels` and `strides`: of the maps. Raises ConfigError for an unknown kind."""
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"segmentation {kind!r}: choose one of: {', '.join(KINDS)}")
        self.kind = kind
        self.at_16 = strides.index(16) if 16 in strides else len(strides) - 1
        self.head: nn.Module
        if kind == "lraspp":
            self.head = LRASPPHead(channels[0], channels[-1], labels, width)
        elif kind == "deeplabv3":
            self.head = DeepLabHead(channels[self.at_16], labels, RATES)
        else:
            self.head = _PooledAspp(channels[-1], labels, width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        if self.kind == "lraspp":
            logits: Tensor = self.head({"low": maps[0], "high": maps[-1]})
            return logits
        logits = self.head(maps[self.at_16 if self.kind == "deeplabv3" else -1])
        return F.interpolate(logits, maps[0].shape[2:], mode="bilinear")


class _PooledAspp(nn.Module):
    """Each position beside the whole picture's mean (Sandler et al., CVPR 2018); norms folded."""

    def __init__(self, channels: int, labels: int, width: int):
        super().__init__()
        self.pool, self.here = nn.Conv2d(channels, width, 1), nn.Conv2d(channels, width, 1)
        self.project, self.classify = nn.Conv2d(2 * width, width, 1), nn.Conv2d(width, labels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = F.relu(self.pool(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[2:])
        both = torch.cat([mean, F.relu(self.here(x))], 1)
        return self.classify(F.relu(self.project(both)))  # type: ignore[no-any-return]


def masks(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits of pictures of `size` (height, width) with padding -> uint8 (batch, height, width)."""
    return F.interpolate(logits.float(), size, mode="bilinear").argmax(1).to(torch.uint8)
