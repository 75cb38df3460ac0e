"""The unsplit network as ONNX: what computing on the device means, as a baseline."""

from pathlib import Path

import torch
from torch import Tensor, nn

from narrows.models.bundle import TailRunner


class _FromPixels(nn.Module):
    """uint8 (1, height, width, 3) -> probabilities (1, labels)."""

    def __init__(self, tail: TailRunner):
        super().__init__()
        self.network = tail.unsplit
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", tail.mean)
        self.register_buffer("std", tail.std)

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).float()
        return self.network((pixels - self.mean) / self.std).softmax(1)


def export_unsplit(tail: TailRunner, side: int, target: Path) -> Path:
    """Write the unsplit network; any picture size that its stride divides, `side` as an example."""
    network = _FromPixels(tail).eval().to(memory_format=torch.contiguous_format)
    example = torch.zeros((1, side, side + 8, 3), dtype=torch.uint8)
    torch.onnx.export(
        network,
        (example,),
        target,
        dynamo=False,  # the tracing exporter needs no further package
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_axes={"image": {1: "height", 2: "width"}},
    )
    return target
