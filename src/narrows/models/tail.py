"""The server's half: a decoder in the place of the backbone's front, then the backbone's rest."""

from typing import Any

from torch import Tensor, nn

from narrows.models.backbones import Backbone, build_backbone
from narrows.models.bottlenecks import build_decoder


class Tail(nn.Module):
    """Latent (batch, channels, h, w) -> logits (batch, labels)."""

    def __init__(self, decoder: nn.Sequential, backbone: Backbone):
        super().__init__()
        self.decoder, self.rest = decoder, backbone.rest

    def forward(self, latent: Tensor) -> Tensor:
        return self.rest(self.decoder(latent))


def build_tail(config: dict[str, Any]) -> Tail:
    """A randomly initialised tail from a manifest's `tail` entry.

    `{"backbone", "labels", "stride", "channels", "decoder": {"kind", ...}}`. Raises ConfigError.
    """
    backbone = build_backbone(config["backbone"], config["labels"], config["stride"])
    decoder = build_decoder(config["decoder"], config["channels"], backbone.cut_channels)
    return Tail(decoder, backbone)
