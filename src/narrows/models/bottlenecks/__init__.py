"""Every bottleneck as a configuration: an encoder's layer list and a decoder, by name."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import ConfigError
from narrows.models.backbones.backbone import Triple
from narrows.models.bottlenecks.entropic_student import (
    EntropicStudentDecoder,
    entropic_student_encoder,
)
from narrows.models.bottlenecks.frankensplit import residual_encoder
from narrows.models.bottlenecks.head_distillation import StemDecoder, stem_encoder
from narrows.models.bottlenecks.patch import patch_encoder
from narrows.models.bottlenecks.slim import SlimDecoder
from narrows.models.bottlenecks.slimmable import ensemble_encoder
from narrows.models.head import Layers

ENCODERS: dict[str, Callable[..., Layers]] = {
    "patch": patch_encoder,
    "entropic_student": entropic_student_encoder,
    "stem": stem_encoder,
    "residual": residual_encoder,
    "ensemble": ensemble_encoder,
}
DECODERS: dict[str, Callable[..., nn.Module]] = {
    "slim": SlimDecoder,
    "entropic_student": EntropicStudentDecoder,
    "stem": StemDecoder,
}


def build_encoder(config: dict[str, Any], pixels: tuple[Triple, Triple]) -> Layers:
    """An encoder's layers from `{"kind": ..., ...}`; `pixels`: mean and deviation of 0..1.

    Raises:
        ConfigError: an unknown kind, or an option that it does not have.
    """
    return _built(ENCODERS, "encoder", config, pixels)


def build_decoder(config: dict[str, Any], channels: int, cut_channels: int) -> nn.Sequential:
    """A randomly initialised decoder from `{"kind": ..., ...}`. Raises ConfigError."""
    decoder = _built(DECODERS, "decoder", config, channels, cut_channels)
    return nn.Sequential(decoder, Unstandardise(cut_channels))


class Unstandardise(nn.Module):
    """Decoders give features of mean 0 and deviation 1; a backbone's rest wants its own."""

    def __init__(self, channels: int):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    @torch.no_grad()
    def measure(self, features: Tensor) -> None:
        """Take both from features (batch, channels, h, w)."""
        self.mean.copy_(features.float().mean((0, 2, 3)))
        self.std.copy_(features.float().std((0, 2, 3)).clamp_min(1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.std[:, None, None] + self.mean[:, None, None]


def _built(known: dict[str, Any], what: str, config: dict[str, Any], *given: Any) -> Any:
    options = dict(config)
    kind = options.pop("kind", None)
    if kind not in known:
        raise ConfigError(f"unknown {what} {kind!r}; choose one of: {', '.join(known)}")
    try:
        return known[kind](*given, **options)
    except TypeError as error:
        raise ConfigError(f"{what} {kind!r}: {error}") from None
