"""A head in numpy: what the native one must equal, exactly where it is in integers.

Float products and sums may be rounded in another order; integer sums are exact, and what follows
them is float32, one rounding an operation, as written here.
"""

from collections.abc import Callable
from math import erf

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from narrows.kernels.head.plan import Plan, Stage

Rows = NDArray[np.float32]  # (height, width, channels)


def run(plan: Plan, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 RGB (height, width, 3) -> float32 latent (channels, h, w)."""
    return np.ascontiguousarray(values(plan, picture)[-1].transpose(2, 0, 1))


def values(plan: Plan, picture: NDArray[np.uint8]) -> list[Rows]:
    """Every stage's value of a picture."""
    found: list[Rows] = []
    for stage in plan.stages:
        if plan.integer:
            value = _convolve_integers(plan, stage, picture, found)
        else:
            value = _convolve_floats(plan, stage, picture, found)
        if stage.combination == "add":
            value = found[stage.source] + value
        elif stage.combination == "divide":
            value = found[stage.source] / value
        found.append(FUNCTIONS[stage.after](value))
    return found


def _convolve_floats(
    plan: Plan, stage: Stage, picture: NDArray[np.uint8], values: list[Rows]
) -> Rows:
    if values:
        rows = FUNCTIONS[stage.before](values[-1])
    else:
        mean, deviation = np.array([plan.mean, plan.deviation], np.float32)
        rows = (picture.astype(np.float32) - mean) / deviation
    sums: Rows = _windows(stage, rows, 0) @ stage.weight.reshape(stage.outputs, -1).T
    sums += stage.bias
    return sums


def _convolve_integers(
    plan: Plan, stage: Stage, picture: NDArray[np.uint8], values: list[Rows]
) -> Rows:
    if values:
        rows = _quantised(FUNCTIONS[stage.before](values[-1]), stage)
        border: NDArray | int = stage.zero
    else:
        rows, border = picture, np.array(plan.border, np.uint8)
    # Sums of less than 2^53 are exact in float64, and there is a fast product for it.
    windows = _windows(stage, rows, border).astype(np.float64) - stage.zero
    weight = stage.weight.reshape(stage.outputs, -1).T.astype(np.float64)
    sums: Rows = (windows @ weight).astype(np.int32).astype(np.float32)
    sums *= stage.scale
    sums += stage.bias
    return sums


def _quantised(value: Rows, stage: Stage) -> NDArray[np.uint8]:
    steps = value * np.float32(stage.steps_per_unit) + np.float32(stage.zero)
    result: NDArray[np.uint8] = np.rint(np.fmin(np.fmax(steps, 0), 255)).astype(np.uint8)
    return result


def _windows(stage: Stage, rows: NDArray, border: NDArray | int) -> NDArray:
    """(height, width, inputs * kernel * kernel), in the order of the weights."""
    pad = stage.pad
    height, width, channels = rows.shape
    padded = np.empty((height + 2 * pad, width + 2 * pad, channels), rows.dtype)
    padded[:] = border
    padded[pad : pad + height, pad : pad + width] = rows
    sides = (stage.kernel, stage.kernel)
    windows: NDArray = sliding_window_view(padded, sides, axis=(0, 1))  # type: ignore[call-overload]
    windows = windows[:: stage.stride, :: stage.stride]
    return windows.reshape(*windows.shape[:2], -1)


def _gelu(value: Rows) -> Rows:
    curve = np.vectorize(erf, otypes=[np.float32])(value * np.float32(0.70710678))
    result: Rows = np.float32(0.5) * value * (1 + curve)
    return result


FUNCTIONS: dict[str, Callable[[Rows], Rows]] = {
    "": lambda value: value,
    "relu": lambda value: np.maximum(value, 0),
    "gelu": _gelu,
    "absolute": np.abs,
}
