"""The device's half: a list of layers, which torch, ONNX and the native kernels all follow.

An encoder of models/bottlenecks is such a list. While it trains, a convolution may be followed by
batch norm (`norm`), and is told its outputs (`out`), its groups and whether it has a bias;
exported, norms are folded in and the list says only what a runner needs.

Layers: `normalise` (mean, std of pixels in 0..255), `conv` (weights, kernel, stride, pad, groups),
`relu`, `gelu`, `silu`, `gdn1` (weights), `maxpool` (kernel, stride, pad), `gate` (weights, reduced:
squeeze and excitation), `residual` (body), `sum` (branches, scales).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.errors import ConfigError

Layer = dict[str, Any]
Layers = list[Layer]

TRAINING_ONLY = ("out", "norm", "bias")


class Head(nn.Module):
    """(batch, 3, height, width) in 0..255 -> latent (batch, channels, height/s, width/s).

    Normalisation is part of it, so every runner gets plain pixels.
    """

    def __init__(self, layers: Layers):
        super().__init__()
        self.list = layers
        self.parts = nn.ModuleDict()
        self.channels = self._build(layers, 3)

    def forward(self, pixels: Tensor, members: int | None = None) -> Tensor:
        """`members`: how many branches of an ensemble to run; None: all."""
        return self._run(self.list, pixels, members)

    @property
    def stride(self) -> int:
        """Pixels between neighbours in the latent."""
        return _stride(self.list)

    def layers(self) -> Layers:
        """The list as a runner reads it: training's keys gone."""
        return [_exported(layer) for layer in self.list]

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """float32 tensors by the names that `layers` uses, batch norms folded in."""
        found: dict[str, Tensor] = {}
        for key, part in self.parts.items():
            name = key.replace("/", ".")
            for leaf, tensor in part.exported().items():  # type: ignore[operator]
                found[f"{name}.{leaf}"] = tensor.detach().float().contiguous().cpu()
        return found

    @torch.no_grad()
    def begin(self, tensors: Mapping[str, Tensor]) -> None:
        """Take exported convolutions of the same name and shape; every other layer stays as it is.

        Raises:
            ConfigError: a convolution of ours has a norm, which an exported one has no more.
        """
        for key, part in self.parts.items():
            name = key.replace("/", ".")
            weight = tensors.get(f"{name}.weight")
            if not isinstance(part, _Conv) or weight is None:
                continue
            if part.norm is not None or part.conv.bias is None:
                raise ConfigError(f"layer {name}: has a norm, so no exported one can begin it")
            if weight.shape == part.conv.weight.shape:
                part.conv.weight.copy_(weight)
                part.conv.bias.copy_(tensors[f"{name}.bias"])

    def _build(self, layers: Layers, channels: int) -> int:
        for layer in layers:
            key = layer.get("weights", "").replace(".", "/")
            match layer["op"]:
                case "conv":
                    self.parts[key] = _Conv(channels, layer)
                    channels = layer["out"]
                case "gdn1":
                    self.parts[key] = _Gdn(channels)
                case "gate":
                    self.parts[key] = _Gate(channels, layer["reduced"])
                case "residual":
                    self._build(layer["body"], channels)
                    self._silence(layer["body"][-1])
                case "sum":
                    widths = {self._build(branch, channels) for branch in layer["branches"]}
                    (channels,) = widths
        return channels

    def _silence(self, last: Layer) -> None:
        """A residual starts as the identity: its last convolution, or that one's norm, at zero."""
        part = self.parts[last["weights"].replace(".", "/")]
        assert isinstance(part, _Conv)
        nn.init.zeros_(part.conv.weight if part.norm is None else part.norm.weight)

    def _run(self, layers: Layers, x: Tensor, members: int | None = None) -> Tensor:
        for layer in layers:
            x = self._step(layer, x, members)
        return x

    def _step(self, layer: Layer, x: Tensor, members: int | None) -> Tensor:
        match layer["op"]:
            case "normalise":
                mean = torch.tensor(layer["mean"], device=x.device).view(1, 3, 1, 1)
                return (x - mean) / torch.tensor(layer["std"], device=x.device).view(1, 3, 1, 1)
            case "conv" | "gdn1" | "gate":
                return self.parts[layer["weights"].replace(".", "/")](x)  # type: ignore[no-any-return]
            case "relu":
                return torch.relu(x)
            case "gelu":
                return F.gelu(x)
            case "silu":
                return F.silu(x)
            case "maxpool":
                return F.max_pool2d(x, layer["kernel"], layer["stride"], layer["pad"])
            case "residual":
                return x + self._run(layer["body"], x)
            case "sum":
                pairs = list(zip(layer["branches"], layer["scales"], strict=True))[:members]
                return torch.stack([scale * self._run(branch, x) for branch, scale in pairs]).sum(0)
        raise ValueError(f"no layer {layer['op']!r}")


class _Conv(nn.Module):
    def __init__(self, inputs: int, layer: Layer):
        super().__init__()
        norm = layer.get("norm", False)
        self.conv = nn.Conv2d(
            inputs, layer["out"], layer["kernel"], layer["stride"], layer["pad"],
            groups=layer.get("groups", 1), bias=layer.get("bias", not norm),
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(layer["out"]) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)

    def exported(self) -> dict[str, Tensor]:
        conv = self.conv
        weight = conv.weight
        bias = torch.zeros(len(weight), device=weight.device) if conv.bias is None else conv.bias
        if (norm := self.norm) is not None:
            assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight = weight * scale[:, None, None, None]
            bias = (bias - norm.running_mean) * scale + norm.bias
        return {"weight": weight, "bias": bias}


class _Gdn(nn.Module):
    """x / (beta + gamma |x|), across channels (Johnston et al., arXiv:1912.08771)."""

    def __init__(self, channels: int):
        super().__init__()
        from compressai.layers import GDN1  # only training makes one: it is in the train extra

        self.gdn = GDN1(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.gdn(x)  # type: ignore[no-any-return]

    def exported(self) -> dict[str, Tensor]:
        gamma = self.gdn.gamma_reparam(self.gdn.gamma)
        return {"gamma": gamma, "beta": self.gdn.beta_reparam(self.gdn.beta)}


class _Gate(nn.Module):
    """Squeeze and excitation (Hu et al., CVPR 2018): channels scaled by what the whole map says."""

    def __init__(self, channels: int, reduced: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, reduced, 1)
        self.excite = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = F.silu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.excite(seen))

    def exported(self) -> dict[str, Tensor]:
        pair = {"squeeze": self.squeeze, "excite": self.excite}
        return {
            f"{name}.{leaf}": tensor
            for name, conv in pair.items()
            for leaf, tensor in conv.named_parameters()
        }


def _exported(layer: Layer) -> Layer:
    kept = {k: v for k, v in layer.items() if k not in TRAINING_ONLY}
    if "body" in kept:
        kept["body"] = [_exported(inner) for inner in kept["body"]]
    if "branches" in kept:
        kept["branches"] = [[_exported(inner) for inner in branch] for branch in kept["branches"]]
    return kept


def _stride(layers: Iterable[Layer]) -> int:
    stride = 1
    for layer in layers:
        if layer["op"] == "sum":
            stride *= _stride(layer["branches"][0])
        elif layer["op"] in ("conv", "maxpool"):
            stride *= layer["stride"]
    return stride


def multiply_adds(
    layers: Iterable[Mapping[str, Any]], tensors: Mapping[str, NDArray | Tensor], side: int
) -> int:
    """Multiply-accumulates of convolutions and GDN for one square picture of `side` pixels."""
    return _counted(layers, tensors, side)[0]


def _counted(
    layers: Iterable[Mapping[str, Any]], tensors: Mapping[str, Any], side: int
) -> tuple[int, int]:
    total = 0
    for layer in layers:
        match layer["op"]:
            case "conv" | "maxpool":
                side = (side + 2 * layer["pad"] - layer["kernel"]) // layer["stride"] + 1
                if layer["op"] == "conv":
                    total += _size(tensors[f"{layer['weights']}.weight"]) * side * side
            case "gdn1":
                total += _size(tensors[f"{layer['weights']}.gamma"]) * side * side
            case "residual":
                total += _counted(layer["body"], tensors, side)[0]
            case "sum":
                counts = [_counted(branch, tensors, side) for branch in layer["branches"]]
                total, side = total + sum(c for c, _ in counts), counts[0][1]
    return total, side


def _size(tensor: NDArray | Tensor) -> int:
    return int(np.prod(tensor.shape))
