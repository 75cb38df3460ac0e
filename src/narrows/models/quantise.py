"""Post-training quantisation of a head to int8: ranges from photographs, no retraining.

Weights: symmetric, a scale for each output channel. Inputs: 0..255, one scale and zero a layer,
the range clipped where the mean squared error over the photographs is least (Banner et al.,
arXiv:1810.05723). The picture itself goes in as it is: its normalisation moves into the first
convolution, so that on a device no pixel is ever made a float.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.kernels.head import reference
from narrows.kernels.head.plan import Plan, Stage, make_plan

Layers = list[dict[str, Any]]
Tensors = dict[str, NDArray]

SAMPLE = 4096  # inputs of a stage kept from every photograph
CLIPS = np.linspace(0.3, 1.0, 36)  # of the largest input seen
WEIGHT_LIMIT = 127


def quantise_head(
    layers: Sequence[Mapping[str, Any]],
    tensors: Mapping[str, NDArray],
    pictures: Iterable[NDArray[np.uint8]],
) -> tuple[Layers, Tensors]:
    """A float32 head -> the same layer list with integer convolutions, and their tensors.

    pictures: RGB (height, width, 3) as the head gets them; some dozens are enough.

    Raises:
        HeadError: the head cannot be followed. ValueError: no pictures.
    """
    plan = make_plan(layers, tensors)
    inputs = _inputs(plan, pictures)
    ranges = {
        stage.name: _range(inputs[index]) if index else (1.0, 0)
        for index, stage in enumerate(plan.stages)
    }
    return _annotated(layers, ranges), _convolutions(plan, ranges)


def requantise_head(
    layers: Sequence[Mapping[str, Any]], tensors: Mapping[str, NDArray], before: Layers
) -> tuple[Layers, Tensors]:
    """As `quantise_head`, by the ranges of an integer head from which this one was trained.

    Raises:
        HeadError: the head cannot be followed. KeyError: `before` is of another one.
    """
    plan = make_plan(layers, tensors)
    ranges = _ranges_of(before)
    return _annotated(layers, ranges), _convolutions(plan, ranges)


def _ranges_of(layers: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
    found: dict[str, tuple[float, int]] = {}
    for layer in layers:
        if "weights" in layer:
            found[layer["weights"]] = layer["input_scale"], layer["input_zero"]
        found |= _ranges_of(layer.get("body", ()))
    return found


def _inputs(plan: Plan, pictures: Iterable[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """A sample of what every stage but the first convolves."""
    rng = np.random.default_rng(0)
    found: list[list[NDArray[np.float32]]] = [[] for _ in plan.stages]
    for picture in pictures:
        values = reference.values(plan, picture)
        for index, stage in enumerate(plan.stages[1:], 1):
            seen = reference.FUNCTIONS[stage.before](values[index - 1]).ravel()
            found[index].append(rng.choice(seen, min(SAMPLE, len(seen)), replace=False))
            found[index].append(np.array([seen.min(), seen.max()], np.float32))
    if not found[-1] and len(plan.stages) > 1:
        raise ValueError("expected photographs to calibrate with, got none")
    return [np.concatenate(parts) if parts else np.empty(0, np.float32) for parts in found]


def _range(seen: NDArray[np.float32]) -> tuple[float, int]:
    """(scale, zero): input = (integer - zero) * scale."""
    low, high = min(0.0, float(seen.min())), max(0.0, float(seen.max()))
    if high == low:
        return 1.0, 0
    errors = []
    for clip in CLIPS:
        scale, zero = _grid(low * clip, high * clip)
        steps = np.clip(np.rint(seen / scale) + zero, 0, 255)
        errors.append(float(np.mean(((steps - zero) * scale - seen) ** 2)))
    clip = CLIPS[int(np.argmin(errors))]
    return _grid(low * clip, high * clip)


def _grid(low: float, high: float) -> tuple[float, int]:
    scale = float(np.float32((high - low) / 255))
    return scale, round(-low / scale)


def _convolutions(plan: Plan, ranges: Mapping[str, tuple[float, int]]) -> Tensors:
    quantised: Tensors = {}
    for index, stage in enumerate(plan.stages):
        quantised |= _convolution(plan, stage, ranges[stage.name][0], first=index == 0)
    return quantised


def _convolution(plan: Plan, stage: Stage, input_scale: float, first: bool) -> Tensors:
    shape = (stage.outputs, stage.inputs, stage.kernel, stage.kernel)
    weight = stage.weight.reshape(shape).astype(np.float64)
    bias = stage.bias.astype(np.float64)
    if first:
        deviation = np.array(plan.deviation)[None, :, None, None]
        mean = np.array(plan.mean)[None, :, None, None]
        weight = weight / deviation
        bias = bias - (weight * mean).sum((1, 2, 3))
    peak = np.maximum(np.abs(weight).max((1, 2, 3)), 1e-12)
    step = peak / WEIGHT_LIMIT
    integers = np.rint(weight / step[:, None, None, None]).astype(np.int8)
    return {
        f"{stage.name}.weight": integers,
        f"{stage.name}.scale": (step * input_scale).astype(np.float32),
        f"{stage.name}.bias": bias.astype(np.float32),
    }


def _annotated(
    layers: Sequence[Mapping[str, Any]], ranges: Mapping[str, tuple[float, int]]
) -> Layers:
    """The list with what an input's integer is worth, where there are weights."""
    result = []
    for layer in layers:
        copy = dict(layer)
        if "weights" in layer:
            copy["input_scale"], copy["input_zero"] = ranges[layer["weights"]]
        if "body" in layer:
            copy["body"] = _annotated(layer["body"], ranges)
        result.append(copy)
    return result
