"""A pretrained network as teacher: frozen features, and a linear probe fitted to the labels.

The probe frees the teacher from its own label set: any ImageNet network teaches any photographs.
A teacher may also be the network that is split; its weights never enter a bundle that we ship.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from narrows.errors import ConfigError
from narrows.models.backbones import BACKBONES, Backbone, build_backbone

TEACHERS = tuple(name for name in BACKBONES if name != "small_resnet")


def load_teacher(name: str, weights: Path | None, labels: int, stride: int = 8) -> Backbone:
    """A pretrained backbone whose classifier is new.

    weights: a safetensors file with torchvision's names; None: torchvision's own, by its download.

    Raises:
        ConfigError: an unknown teacher, or weights that do not fit it.
    """
    if name not in TEACHERS:
        raise ConfigError(f"unknown teacher {name!r}; choose one of: {', '.join(TEACHERS)}")
    architecture = name.removesuffix("_tf")
    if not weights and architecture != name:
        raise ConfigError(f"{name}: torchvision has no such weights: give --teacher-weights")
    net = torchvision.models.get_model(architecture, weights=None if weights else "DEFAULT")
    published = load_file(weights) if weights else net.state_dict()
    backbone = build_backbone(name, labels, stride)
    ours = backbone.state_dict()
    # Both list their layers in one order, only the names differ.
    names = dict(zip(ours, net.state_dict(), strict=True))
    fits = [k for k, n in names.items() if n in published and published[n].shape == ours[k].shape]
    needed = [k for k in ours if not k.endswith("tracked")]
    if len(set(fits) & set(needed)) < len(needed) - 2 or set(published) - set(names.values()):
        raise ConfigError(
            f"{weights or name}: not this network's weights: "
            f"{len(set(fits) & set(needed))} of {len(needed)} tensors fit"
        )
    backbone.load_state_dict({k: published[names[k]] for k in fits}, strict=False)
    return backbone.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def last_maps(backbone: Backbone, pixels: Tensor) -> Tensor:
    """Pixels (batch, 3, h, w) in 0..255 -> the last feature map, float32 (batch, c, h/32, w/32)."""
    with torch.no_grad(), torch.autocast(pixels.device.type, torch.bfloat16):
        maps: Tensor = backbone.rest[0](backbone.front(normalise(pixels, backbone)))
    return maps.float()


def normalise(pixels: Tensor, backbone: Backbone) -> Tensor:
    """0..255 -> the backbone's range, channels last in memory."""
    mean = torch.tensor(backbone.mean, device=pixels.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(backbone.std, device=pixels.device).view(1, 3, 1, 1) * 255
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def fit_probe(backbone: Backbone, features: Tensor, targets: Tensor, decay: float = 1e-4) -> float:
    """Logistic regression of (n, dimension) features as the classifier; returns its accuracy."""
    probe = nn.Linear(features.shape[1], backbone.classifier.out_features)
    optimiser = torch.optim.LBFGS(probe.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(probe(features), targets) + decay * probe.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    backbone.classifier.load_state_dict(probe.state_dict())
    return float((probe(features).argmax(1) == targets).float().mean())
