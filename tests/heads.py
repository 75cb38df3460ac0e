"""Heads of any make for tests: layers and tensors, and the same in torch."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
NORMALISE = {"op": "normalise", "mean": MEAN, "std": STD}
Layers = list[dict[str, Any]]


def conv(name: str, kernel: int, stride: int = 1, pad: int = 0) -> dict[str, Any]:
    return {"op": "conv", "weights": name, "kernel": kernel, "stride": stride, "pad": pad}


def entropic_student(first: int = 96, second: int = 48, last: int = 24) -> tuple[Layers, dict]:
    """Entropic Student's encoder (Matsubara et al., WACV 2022), of any width."""
    layers = [
        NORMALISE,
        conv("first", 5, 2, 2),
        {"op": "gdn1", "weights": "gdn_first"},
        conv("second", 5, 2, 2),
        {"op": "gdn1", "weights": "gdn_second"},
        conv("third", 2),
    ]
    shapes = {"first": (first, 3, 5), "second": (second, first, 5), "third": (last, second, 2)}
    tensors = weights_of(shapes, bias=False)
    rng = np.random.default_rng(1)
    for name, channels in (("gdn_first", first), ("gdn_second", second)):
        gamma = rng.random((channels, channels)) / channels + 0.1 * np.eye(channels)
        tensors[f"{name}.gamma"] = gamma.astype(np.float32)
        tensors[f"{name}.beta"] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
    return layers, tensors


def patch_head(width: int = 64, hidden: int = 64, last: int = 48) -> tuple[Layers, dict]:
    """The shipped make: patches, two residual blocks, a projection."""
    relu = {"op": "relu"}
    blocks = [
        {"op": "residual", "body": [relu, conv(f"{i}a", 3, 1, 1), relu, conv(f"{i}b", 3, 1, 1)]}
        for i in range(2)
    ]
    layers = [NORMALISE, conv("patch", 8, 8), *blocks, relu, conv("project", 1)]
    shapes = {"patch": (width, 3, 8), "project": (last, width, 1)}
    for i in range(2):
        shapes |= {f"{i}a": (hidden, width, 3), f"{i}b": (width, hidden, 3)}
    return layers, weights_of(shapes)


def weights_of(shapes: dict[str, tuple[int, int, int]], bias: bool = True) -> dict:
    """By name: (outputs, inputs, kernel)."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, (outputs, inputs, kernel) in shapes.items():
        spread = (inputs * kernel**2) ** -0.5
        weight = rng.normal(0, spread, (outputs, inputs, kernel, kernel))
        tensors[f"{name}.weight"] = weight.astype(np.float32)
        if bias:
            tensors[f"{name}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    return tensors


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_torch(layers: Layers, tensors: dict, image: np.ndarray) -> np.ndarray:
    """In double precision."""
    t = {name: torch.from_numpy(value).double() for name, value in tensors.items()}
    x = torch.from_numpy(image).double().permute(2, 0, 1)[None]
    return _chain(layers, t, x)[0].numpy()


def _chain(layers: Layers, t: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        name = layer.get("weights", "")
        match layer["op"]:
            case "normalise":
                mean, std = (torch.tensor(layer[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
                x = (x - mean) / std
            case "conv":
                weight, bias = t[f"{name}.weight"], t.get(f"{name}.bias")
                x = functional.conv2d(x, weight, bias, layer["stride"], layer["pad"])
            case "relu":
                x = x.relu()
            case "gelu":
                x = functional.gelu(x)
            case "gdn1":
                gamma = t[f"{name}.gamma"][:, :, None, None]
                x = x / functional.conv2d(x.abs(), gamma, t[f"{name}.beta"])
            case "residual":
                x = x + _chain(layer["body"], t, x)
    return x
