"""A class for every pixel: torchvision's heads over the maps of a shared body."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.lraspp import LRASPPHead

from narrows.errors import ConfigError

KINDS = ("lraspp", "deeplabv3")
RATES = (3, 6, 9)  # of DeepLab's atrous convolutions: those of its paper suit 513 pixels


class SegmentationHead(nn.Module):
    """Maps -> logits (batch, labels, h, w) at the first map's resolution.

    `lraspp` (Howard et al., ICCV 2019) takes the first and the last map, `deeplabv3` (Chen et al.,
    arXiv:1706.05587) the one of 1/16.
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
        else:
            self.head = DeepLabHead(channels[self.at_16], labels, RATES)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        if self.kind == "lraspp":
            logits: Tensor = self.head({"low": maps[0], "high": maps[-1]})
            return logits
        return F.interpolate(self.head(maps[self.at_16]), maps[0].shape[2:], mode="bilinear")


def masks(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits of pictures of `size` (height, width) with padding -> uint8 (batch, height, width)."""
    return F.interpolate(logits.float(), size, mode="bilinear").argmax(1).to(torch.uint8)
