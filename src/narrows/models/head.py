"""The device's half: a patchify convolution, a few residual blocks, a projection to the latent.

No GDN and stride 8 at once: edge-cloud-rac (Duan & Zhu, PCS 2022) matches Entropic Student per byte
with 1/23 of its arithmetic this way. ReLU rather than GELU, so that it quantises to int8.
"""

from typing import Any

import torch
from torch import Tensor, nn

PATCH = 8  # pixels; also the head's stride


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), both 3x3; (batch, width, h, w) kept."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.first = nn.Conv2d(width, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(torch.relu(x))))


class PatchHead(nn.Module):
    """(batch, 3, height, width) in 0..255 -> latent (batch, channels, height/8, width/8).

    Normalisation is part of it, so every runner gets plain pixels.
    """

    def __init__(self, width: int, hidden: int, blocks: int, channels: int, mean: Any, std: Any):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.config = {"width": width, "hidden": hidden, "blocks": blocks, "channels": channels}
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)
        self.patchify = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.blocks = nn.Sequential(*(ResidualBlock(width, hidden) for _ in range(blocks)))
        self.project = nn.Conv2d(width, channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patchify((pixels - self.mean) / self.std)
        return self.project(torch.relu(self.blocks(x)))

    def layers(self) -> list[dict[str, Any]]:
        """The same network as a list any runner can follow; weights are named in the file."""
        conv = {"op": "conv", "stride": 1}
        body = [
            {"op": "residual", "body": [
                {"op": "relu"},
                conv | {"weights": f"blocks.{i}.first", "kernel": 3, "pad": 1},
                {"op": "relu"},
                conv | {"weights": f"blocks.{i}.second", "kernel": 3, "pad": 1},
            ]}
            for i in range(len(self.blocks))
        ]  # fmt: skip
        return [
            {
                "op": "normalise",
                "mean": self.mean.flatten().tolist(),
                "std": self.std.flatten().tolist(),
            },
            conv | {"weights": "patchify", "kernel": PATCH, "stride": PATCH, "pad": 0},
            *body,
            {"op": "relu"},
            conv | {"weights": "project", "kernel": 1, "pad": 0},
        ]
