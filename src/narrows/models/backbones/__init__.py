"""Backbones by name, each already cut: `front` (replaced on the device) and `rest` (kept)."""

from collections.abc import Callable

from narrows.errors import ConfigError
from narrows.models.backbones import torchvision_nets
from narrows.models.backbones.backbone import Backbone
from narrows.models.backbones.small_resnet import small_resnet

BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "small_resnet": small_resnet,
    "resnet50": torchvision_nets.resnet50,
    "mobilenet_v2": torchvision_nets.mobilenet_v2,
    "mobilenet_v3_small": torchvision_nets.mobilenet_v3_small,
    "mobilenet_v3_large": torchvision_nets.mobilenet_v3_large,
}


def build_backbone(name: str, labels: int) -> Backbone:
    """A randomly initialised backbone with `labels` outputs. Raises ConfigError."""
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; choose one of: {', '.join(BACKBONES)}")
    return BACKBONES[name](labels)


__all__ = ["BACKBONES", "Backbone", "build_backbone"]
