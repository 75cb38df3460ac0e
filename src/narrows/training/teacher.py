"""A pretrained network as teacher: frozen features, and a linear probe fitted to the labels.

The probe frees the teacher from its own label set: any ImageNet network teaches any photographs.
Its weights guide the training and never enter a bundle.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from rich.progress import track
from safetensors.torch import load_file
from torch import Tensor, nn

from narrows.errors import ConfigError
from narrows.training.data import Photographs, batches

SIDE = 128  # pixels: what the teacher sees, whatever the student does; its cost is half the epoch
TEACHERS = ("mobilenet_v2", "mobilenet_v2_tf", "resnet50")


class Teacher(nn.Module):
    """Pixels (batch, 3, h, w) in 0..255 -> logits (batch, labels) and the last feature map."""

    def __init__(self, name: str, weights: Path | None):
        """`weights`: a safetensors file with torchvision's names; None: torchvision's own.

        Raises:
            ConfigError: an unknown teacher, or weights that do not fit it.
        """
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        if name not in TEACHERS:
            raise ConfigError(f"unknown teacher {name!r}; choose one of: {', '.join(TEACHERS)}")
        architecture = name.removesuffix("_tf")
        net = torchvision.models.get_model(architecture, weights=None if weights else "DEFAULT")
        if weights:
            _load(net, weights)
        self.features, self.dimension = _without_classifier(net)
        tensorflow = name.endswith("_tf")
        if tensorflow:
            _pad_like_tensorflow(self.features)
        mean, std = (
            ([0.5] * 3, [0.5] * 3) if tensorflow else ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        )
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)
        self.probe = nn.Linear(self.dimension, 1)
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    @torch.no_grad()
    def maps(self, pixels: Tensor) -> Tensor:
        """(batch, 3, h, w) in 0..255 -> features (batch, dimension, SIDE/32, SIDE/32)."""
        with torch.autocast("cpu", torch.bfloat16):
            if pixels.shape[-1] != SIDE:
                pixels = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True)
            x = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
            return self.features(x).float()

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.maps(pixels)
        return self.probe(maps.mean((2, 3))), maps

    def fit_probe(self, data: Photographs, seed: int, decay: float = 1e-4) -> float:
        """Logistic regression on the features of one pass of mild crops; returns its accuracy."""
        passes = track(
            batches(data, 32, SIDE, 0.6, seed), "fitting the teacher's probe", len(data) // 32
        )
        pairs = [(self.maps(pixels).mean((2, 3)), targets) for pixels, targets in passes]
        x, y = torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs])
        probe = nn.Linear(self.dimension, len(data.labels))
        optimiser = torch.optim.LBFGS(
            probe.parameters(), max_iter=200, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = F.cross_entropy(probe(x), y) + decay * probe.weight.square().sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        self.probe = probe.requires_grad_(False)
        return float((probe(x).argmax(1) == y).float().mean())


def _load(net: nn.Module, weights: Path) -> None:
    missing, unexpected = net.load_state_dict(load_file(weights), strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise ConfigError(
            f"{weights}: not this network's weights: {(missing + unexpected)[:3]} ..."
        )


def _without_classifier(net: nn.Module) -> tuple[nn.Module, int]:
    parts = dict(net.named_children())
    last = parts["fc"] if "fc" in parts else list(parts["classifier"].children())[-1]
    assert isinstance(last, nn.Linear)
    features = parts.get("features") or nn.Sequential(*list(net.children())[:-2])
    return features, last.in_features


def _pad_like_tensorflow(features: nn.Module) -> None:
    """Stride-2 3x3 convolutions pad right and bottom only, as the original MobileNets do."""
    for module in list(features.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2) and conv.kernel_size == (3, 3):
                conv.padding = (0, 0)
                setattr(module, name, nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv))
