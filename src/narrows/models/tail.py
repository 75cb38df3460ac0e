"""The server's half: a slim decoder in the place of the backbone's front, then its rest."""

from typing import Any

from torch import Tensor, nn

from narrows.models.backbones import build_backbone
from narrows.models.backbones.small_resnet import BasicBlock, conv_bn


class Tail(nn.Module):
    """Latent (batch, channels, h, w) -> logits (batch, labels).

    The decoder keeps the latent's resolution: all of it costs less than the front it replaces,
    where Entropic Student's decoder makes the tail heavier than the unsplit network.
    """

    def __init__(self, decoder: nn.Module, rest: nn.Sequential):
        super().__init__()
        self.decoder, self.rest = decoder, rest

    def forward(self, latent: Tensor) -> Tensor:
        return self.rest(self.decoder(latent))


def build_tail(config: dict[str, Any]) -> Tail:
    """A randomly initialised tail from a manifest's `tail` entry."""
    backbone = build_backbone(config["backbone"], config["labels"])
    return Tail(
        slim_decoder(config["channels"], backbone.cut_channels, config["blocks"]), backbone.rest
    )


def slim_decoder(channels: int, cut_channels: int, blocks: int) -> nn.Sequential:
    """3x3 expansion to the cut's width, then residual blocks of at most 96 channels."""
    width = min(cut_channels, 96)
    layers: list[nn.Module] = [conv_bn(channels, width, 3), nn.ReLU(inplace=True)]
    layers += [BasicBlock(width, width) for _ in range(blocks)]
    if width != cut_channels:
        layers.append(conv_bn(width, cut_channels, 1))
    return nn.Sequential(*layers)
