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
    values: list[Rows] = []
    for index, stage in enumerate(plan.stages):
        if plan.integer:
            value = _convolve_integers(plan, stage, picture, values)
        else:
            value = _convolve_floats(plan, stage, picture, values)
        if stage.combination == "add":
            value = values[stage.source] + value
        elif stage.combination == "divide":
            value = values[stage.source] / value
        values.append(FUNCTIONS[stage.after](value))
        _forget(plan, values, index)
    return np.ascontiguousarray(values[-1].transpose(2, 0, 1))


def _convolve_floats(
    plan: Plan, stage: Stage, picture: NDArray[np.uint8], values: list[Rows]
) -> Rows:
    if values:
        rows = FUNCTIONS[stage.before](values[-1])
    else:
        rows = (picture - np.float32(plan.mean)) / np.float32(plan.deviation)
    sums = _windows(stage, rows, 0) @ stage.weight.reshape(stage.outputs, -1).T
    return sums + stage.bias


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
    sums = (windows @ weight).astype(np.int32).astype(np.float32)
    return sums * stage.scale + stage.bias


def _quantised(value: Rows, stage: Stage) -> NDArray[np.uint8]:
    steps = value * np.float32(stage.steps_per_unit) + np.float32(stage.zero)
    return np.rint(np.fmin(np.fmax(steps, 0), 255)).astype(np.uint8)


def _windows(stage: Stage, rows: NDArray, border: NDArray | int) -> NDArray:
    """(height, width, inputs * kernel * kernel), in the order of the weights."""
    pad = stage.pad
    height, width, channels = rows.shape
    padded = np.empty((height + 2 * pad, width + 2 * pad, channels), rows.dtype)
    padded[:] = border
    padded[pad : pad + height, pad : pad + width] = rows
    windows = sliding_window_view(padded, (stage.kernel, stage.kernel), axis=(0, 1))
    windows = windows[:: stage.stride, :: stage.stride]
    return windows.reshape(*windows.shape[:2], -1)


def _forget(plan: Plan, values: list[Rows], index: int) -> None:
    """Values that no later stage takes are let go."""
    wanted = {stage.source for stage in plan.stages[index + 1 :]} | {index}
    for i in range(index):
        if i not in wanted:
            values[i] = values[i][:0]


def _gelu(value: Rows) -> Rows:
    curve = np.vectorize(erf, otypes=[np.float32])(value * np.float32(0.70710678))
    return np.float32(0.5) * value * (1 + curve)


FUNCTIONS: dict[str, Callable[[Rows], Rows]] = {
    "": lambda value: value,
    "relu": lambda value: np.maximum(value, 0),
    "gelu": _gelu,
    "absolute": np.abs,
}
