"""Entropic Student (Matsubara et al., WACV 2022), as sc2bench's FPBasedResNetBottleneck has it.

Published for a ResNet-50 cut after layer1: 24 channels of stride 4, a decoder of 512, 256 and 256
channels. Here the decoder's widths follow the backbone's cut in the same proportion.
"""

from torch import Tensor, nn

from narrows.models.backbones.backbone import Triple
from narrows.models.bottlenecks.common import conv, normalise
from narrows.models.head import Layers


def entropic_student_encoder(pixels: tuple[Triple, Triple], channels: int = 24) -> Layers:
    """Three convolutions without bias, GDN1 between: 5x5 to 4 and 2 times `channels`, then 2x2."""
    return [
        normalise(pixels),
        conv("conv1", 4 * channels, 5, 2, 2, bias=False),
        {"op": "gdn1", "weights": "gdn1"},
        conv("conv2", 2 * channels, 5, 2, 2, bias=False),
        {"op": "gdn1", "weights": "gdn2"},
        conv("conv3", channels, 2, 1, 0, bias=False),
    ]


class EntropicStudentDecoder(nn.Sequential):
    """(batch, latent channels, h, w) -> (batch, cut channels, h + 1, w + 1)."""

    def __init__(self, channels: int, cut_channels: int):
        super().__init__(
            nn.Conv2d(channels, 2 * cut_channels, 2, padding=1, bias=False),
            InverseGdn(2 * cut_channels),
            nn.Conv2d(2 * cut_channels, cut_channels, 2, bias=False),
            InverseGdn(cut_channels),
            nn.Conv2d(cut_channels, cut_channels, 2, padding=1, bias=False),
        )


class InverseGdn(nn.Module):
    """x * (beta + gamma |x|) (Johnston et al., arXiv:1912.08771), plain so that a server runs it.

    Both are kept positive by a square, as CompressAI's are.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.root = nn.Conv2d(channels, channels, 1)
        nn.init.eye_(self.root.weight.data[:, :, 0, 0]).mul_(0.1**0.5).add_(1e-3)
        nn.init.ones_(self.root.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.root.weight.square(), self.root.bias.square()  # type: ignore[union-attr]
        return x * nn.functional.conv2d(x.abs(), weight, bias)
