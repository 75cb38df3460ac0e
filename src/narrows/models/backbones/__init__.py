"""Backbones by name, each already cut: `front` (replaced on the device) and `rest` (kept)."""

from narrows.errors import ConfigError
from narrows.models.backbones.backbone import Backbone
from narrows.models.backbones.small_resnet import small_resnet

BACKBONES = (
    "small_resnet",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
)


def build_backbone(name: str, labels: int) -> Backbone:
    """A randomly initialised backbone with `labels` outputs. Raises ConfigError."""
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; choose one of: {', '.join(BACKBONES)}")
    if name == "small_resnet":
        return small_resnet(labels)
    from narrows.models.backbones import torchvision_nets  # a second to import: only where needed

    backbone: Backbone = getattr(torchvision_nets, name)(labels)
    return backbone


__all__ = ["BACKBONES", "Backbone", "build_backbone"]
