"""Our decoder: as slim as can be, so that a tail costs less than the unsplit network.

Entropic Student's decoder makes its tail heavier than the network that it splits.
"""

from torch import nn

from narrows.models.backbones.small_resnet import BasicBlock, conv_bn

WIDEST = 96  # channels of the residual blocks


class SlimDecoder(nn.Sequential):
    """(batch, latent channels, h, w) -> (batch, cut channels, up * h, up * w).

    A 3x3 expansion, residual blocks, and the cut's width last; a latent coarser than the cut is
    decoded where it is small and unfolded (Shi et al., CVPR 2016) at the end.
    """

    def __init__(
        self, channels: int, cut_channels: int, blocks: int = 1, up: int = 1, width: int = 0
    ):
        width = width or min(cut_channels, WIDEST)
        layers: list[nn.Module] = [conv_bn(channels, width, 3), nn.ReLU(inplace=True)]
        layers += [BasicBlock(width, width) for _ in range(blocks)]
        if up > 1:
            layers += [conv_bn(width, cut_channels * up * up, 1), nn.PixelShuffle(up)]
        elif width != cut_channels:
            layers.append(conv_bn(width, cut_channels, 1))
        super().__init__(*layers)
