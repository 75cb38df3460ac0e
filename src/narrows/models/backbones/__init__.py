"""Backbones by name, each already cut: `front` (replaced on the device) and `rest` (kept)."""

from narrows.errors import ConfigError
from narrows.models.backbones.backbone import Backbone
from narrows.models.backbones.small_resnet import small_resnet
from narrows.models.backbones.yolox import yolox_nano

BACKBONES = (
    "small_resnet",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v2_tf",
    "mobilenet_v2_tf16",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "yolox_nano",
)
STRIDES = (4, 8)  # where a backbone can be cut


def build_backbone(name: str, labels: int, stride: int = 8) -> Backbone:
    """A randomly initialised backbone with `labels` outputs, cut at 1/stride of the side.

    Raises:
        ConfigError: an unknown backbone, or a stride at which none is cut.
    """
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; choose one of: {', '.join(BACKBONES)}")
    if stride not in STRIDES:
        raise ConfigError(f"a cut at 1/{stride}: backbones are cut at 1/4 or 1/8")
    if name == "small_resnet":
        return small_resnet(labels, stride)
    if name == "yolox_nano":
        return yolox_nano(labels, stride)
    from narrows.models.backbones import torchvision_nets  # a second to import: only where needed

    backbone: Backbone = getattr(torchvision_nets, name)(labels, stride)
    return backbone


__all__ = ["BACKBONES", "STRIDES", "Backbone", "build_backbone"]
