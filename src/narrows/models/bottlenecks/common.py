"""Entries of a layer list, as every encoder here writes them."""

from typing import Any

from narrows.models.backbones.backbone import Triple


def normalise(pixels: tuple[Triple, Triple]) -> dict[str, Any]:
    """The first layer: mean and deviation of 0..1 brought to pixels in 0..255."""
    mean, std = ([value * 255 for value in triple] for triple in pixels)
    return {"op": "normalise", "mean": mean, "std": std}


def conv(
    weights: str, out: int, kernel: int, stride: int = 1, pad: int = 0, **more: Any
) -> dict[str, Any]:
    """A convolution; `more`: norm, bias, groups."""
    return {
        "op": "conv", "weights": weights, "out": out,
        "kernel": kernel, "stride": stride, "pad": pad, **more,
    }  # fmt: skip
