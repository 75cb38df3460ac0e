"""GHND and HND (Matsubara & Levorato, ICPR 2020): a stem, a few channels, uniform int8.

sc2bench's Bottleneck4LargeResNet: the device runs ResNet's stem and five 2x2 convolutions, the
server five more. Nothing is entropy coded in the paper: CR+BQ sends a byte an element.
"""

from torch import nn

from narrows.models.backbones.backbone import Triple
from narrows.models.bottlenecks.common import conv, normalise
from narrows.models.head import Layers


def stem_encoder(pixels: tuple[Triple, Triple], channels: int = 3) -> Layers:
    """Stride 4; each of the four 2x2 convolutions padded by one adds a row and a column."""
    relu = {"op": "relu"}
    return [
        normalise(pixels),
        conv("stem", 64, 7, 2, 3, norm=True), relu,
        {"op": "maxpool", "kernel": 3, "stride": 2, "pad": 1},
        conv("conv1", 64, 2, pad=1, norm=True),
        conv("conv2", 256, 2, pad=1, norm=True), relu,
        conv("conv3", 64, 2, pad=1, norm=True),
        conv("conv4", channels, 2, pad=1),
    ]  # fmt: skip


class StemDecoder(nn.Sequential):
    """(batch, channels, h, w) -> (batch, cut channels, h - 4, w - 4)."""

    def __init__(self, channels: int, cut_channels: int):
        layers: list[nn.Module] = [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        width = channels
        for number, out in enumerate((64, 128, 256, cut_channels)):
            layers += [nn.Conv2d(width, out, 2, bias=False), nn.BatchNorm2d(out)]
            if number:
                layers.append(nn.ReLU(inplace=True))
            width = out
        super().__init__(*layers)
