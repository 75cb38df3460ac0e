"""The heads that are raced: the shipped bundle's, and Entropic Student's encoder.

Both as the layer list and tensors of a bundle, which every runtime is given in its own form.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from narrows.codec.manifest import Manifest
from narrows.models.head import multiply_adds

SIDE = 224  # pixels
CALIBRATION_PICTURES = 8  # for every runtime's int8
Layers = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Network:
    """uint8 RGB (side, side, 3) -> float32 latent (C, h, w)."""

    layers: Layers
    tensors: dict[str, NDArray[np.float32]]
    side: int = SIDE

    def flops(self) -> int:
        """Multiplications and additions of its matrices, for one picture."""
        return 2 * multiply_adds(self.layers, self.tensors, self.side)


def shipped_network(bundle: Path, side: int = SIDE) -> Network:
    """A bundle's head. Raises BundleError."""
    return Network(
        Manifest.load(bundle).head["layers"], load_file(bundle / "head.safetensors"), side
    )


def entropic_student(side: int = SIDE) -> Network:
    """The encoder of Matsubara et al., WACV 2022 (sc2bench's FPBasedResNetBottleneck), untrained.

    Three convolutions without bias to 24 channels at a quarter of the side, GDN1 between.
    """
    rng = np.random.default_rng(0)
    layers: Layers = [
        {"op": "normalise", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
    ]
    tensors: dict[str, NDArray[np.float32]] = {}
    shapes = ((96, 3, 5, 2, 2), (48, 96, 5, 2, 2), (24, 48, 2, 1, 0))
    for index, (outputs, inputs, kernel, stride, pad) in enumerate(shapes):
        name, norm = f"conv{index + 1}", f"gdn{index + 1}"
        fan_in = inputs * kernel * kernel
        weight = rng.normal(0, fan_in**-0.5, (outputs, inputs, kernel, kernel))
        tensors[f"{name}.weight"] = weight.astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(outputs, np.float32)
        layers.append(
            {"op": "conv", "weights": name, "kernel": kernel, "stride": stride, "pad": pad}
        )
        if outputs != 24:
            gamma = 0.1 * np.eye(outputs) + rng.uniform(0, 0.2 / outputs, (outputs, outputs))
            tensors[f"{norm}.gamma"] = gamma.astype(np.float32)
            tensors[f"{norm}.beta"] = np.ones(outputs, np.float32)
            layers.append({"op": "gdn1", "weights": norm})
    return Network(layers, tensors, side)


def photographs(count: int, side: int) -> list[NDArray[np.uint8]]:
    """Noise as smooth as photographs are: uint8 RGB (side, side, 3) each."""
    rng = np.random.default_rng(2)
    coarse = rng.uniform(0, 255, (count, side // 8, side // 8, 3)).repeat(8, 1).repeat(8, 2)
    fine = rng.normal(0, 12, (count, side, side, 3))
    return list(np.clip(coarse + fine, 0, 255).astype(np.uint8))
