"""A bundle's layer list as a plan: a chain of convolutions, checked once, for every runner.

Layers: `normalise` (mean, std, of pixels in 0..255; first), `conv` (weights, kernel, stride, pad;
with `input_scale` and `input_zero` where its weights are integers), `relu`, `gelu` (the exact one),
`gdn1` (weights), `residual` (body). A conv's tensors are `<weights>.weight` float32 or int8
(outputs, inputs, kernel, kernel), `<weights>.bias` float32 (outputs; zeros if absent), and of an
integer one `<weights>.scale` float32 (outputs). GDN1's are `<weights>.gamma` (channels, channels)
and `<weights>.beta`, or, quantised, those of the 1x1 convolution of |x| that it divides by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Layer = Mapping[str, Any]
Tensors = Mapping[str, NDArray]
FUNCTIONS = {"relu": "relu", "gelu": "gelu"}


class HeadError(ValueError):
    """A layer list or tensors that no runner can follow."""


class UnknownLayer(HeadError):
    """A layer that other runners may have and these kernels do not."""


@dataclass(frozen=True, eq=False)
class Stage:
    """value = after(combine(convolution(before(previous value)), the source's value)).

    weight: float32 or int8 (outputs * inputs * kernel * kernel,), outputs first.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    pad: int
    weight: NDArray
    bias: NDArray[np.float32]
    scale: NDArray[np.float32]
    steps_per_unit: float = 1.0
    zero: int = 0
    before: str = ""
    after: str = ""
    combination: str = ""
    source: int = -1

    def extent(self, side: int) -> int:
        """The outputs along a side of that many inputs; 0 where it is too short."""
        padded = side + 2 * self.pad
        return (padded - self.kernel) // self.stride + 1 if side and padded >= self.kernel else 0


@dataclass(frozen=True, eq=False)
class Plan:
    """What every runner follows; `border` is the pixel around the picture of an integer head."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    stages: list[Stage] = field(default_factory=list)

    @property
    def integer(self) -> bool:
        return self.stages[0].weight.dtype == np.int8

    @property
    def border(self) -> tuple[int, int, int]:
        r, g, b = (min(255, max(0, round(m))) for m in self.mean)
        return r, g, b

    def latent_shape(self, picture: NDArray[np.uint8]) -> tuple[int, int, int]:
        """(channels, height, width) of a picture's latent.

        Raises:
            HeadError: a picture of another type or shape, or too small for the head.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise HeadError(
                f"expected uint8 (height, width, 3), got {picture.dtype} {picture.shape}"
            )
        height, width = picture.shape[:2]
        for stage in self.stages:
            height, width = stage.extent(height), stage.extent(width)
        if not height or not width:
            raise HeadError(f"a picture of {picture.shape[0]} x {picture.shape[1]} is too small")
        return self.stages[-1].outputs, height, width


def make_plan(layers: Sequence[Layer], tensors: Tensors) -> Plan:
    """Check a layer list against its tensors.

    Raises:
        HeadError: an unknown layer, a missing or misshapen tensor, or an order that none can run.
    """
    builder = _Builder(tensors)
    try:
        builder.add_all(layers)
    except KeyError as error:
        raise HeadError(f"a layer lacks {error}: export the bundle again") from None
    if not builder.stages:
        raise HeadError("a head needs a convolution, the list has none")
    if builder.before:
        raise HeadError(f"a {builder.before} is followed by no convolution")
    if len({stage.weight.dtype for stage in builder.stages}) > 1:
        raise HeadError("some convolutions are integers and some are not: quantise all or none")
    return Plan(builder.mean, builder.deviation, builder.stages)


class _Builder:
    def __init__(self, tensors: Tensors):
        self.tensors = tensors
        self.mean = (0.0, 0.0, 0.0)
        self.deviation = (1.0, 1.0, 1.0)
        self.stages: list[Stage] = []
        self.before = ""  # a function of the next convolution's input
        self.keep = False  # the last value is wanted as it is, so functions go before the next

    def add_all(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            op = layer["op"]
            if op == "normalise":
                self._normalise(layer)
            elif op == "conv":
                self._conv(layer)
            elif op in FUNCTIONS:
                self._function(FUNCTIONS[op])
            elif op == "gdn1":
                self._gdn(layer)
            elif op == "residual":
                self._residual(layer)
            else:
                known = ", ".join(["normalise", "conv", *FUNCTIONS, "gdn1", "residual"])
                raise UnknownLayer(f"a layer {op!r}, expected one of {known}")

    def _normalise(self, layer: Layer) -> None:
        if self.stages:
            raise HeadError("normalise comes first")
        self.mean, self.deviation = _three(layer["mean"]), _three(layer["std"])

    def _conv(self, layer: Layer) -> None:
        name = layer["weights"]
        if layer.get("groups", 1) != 1:
            raise UnknownLayer(f"{name}: a convolution in groups")
        weight = self._tensor(f"{name}.weight", 4)
        outputs, inputs, kernel, other = weight.shape
        if kernel != layer["kernel"] or other != kernel:
            raise HeadError(
                f"{name}: a kernel of {layer['kernel']}, its weights are {weight.shape}"
            )
        if not 0 <= layer["pad"] < kernel or layer["stride"] < 1:
            raise HeadError(f"{name}: pad {layer['pad']}, stride {layer['stride']}: impossible")
        self._append(
            Stage(name, inputs, outputs, kernel, layer["stride"], layer["pad"], weight,
                  self._vector(f"{name}.bias", outputs, 0.0), *self._quantised(layer, outputs))
        )  # fmt: skip

    def _gdn(self, layer: Layer) -> None:
        if not self.stages or self.before:
            raise HeadError("gdn1 divides the value of a convolution")
        name = layer["weights"]
        if f"{name}.gamma" in self.tensors:
            gamma = self._tensor(f"{name}.gamma", 2)[:, :, None, None]
            beta = self._vector(f"{name}.beta", len(gamma), 1.0)
        else:
            gamma = self._tensor(f"{name}.weight", 4)
            beta = self._vector(f"{name}.bias", len(gamma), 1.0)
        source, channels = len(self.stages) - 1, len(gamma)
        self.before = "absolute"
        self._append(
            Stage(name, channels, channels, 1, 1, 0, gamma, beta,
                  *self._quantised(layer, channels), combination="divide", source=source)
        )  # fmt: skip

    def _residual(self, layer: Layer) -> None:
        if not self.stages or self.before:
            raise HeadError("a residual adds to the value of a convolution")
        source = len(self.stages) - 1
        self.keep = True
        self.add_all(layer["body"])
        last = self.stages[-1]
        if len(self.stages) - 1 == source or self.before or last.combination or last.after:
            raise HeadError("a residual's body must end with a convolution")
        if last.outputs != self.stages[source].outputs:
            raise HeadError(
                f"{last.name}: {last.outputs} channels, its residual has "
                f"{self.stages[source].outputs}"
            )
        self.stages[-1] = replace(last, combination="add", source=source)

    def _function(self, function: str) -> None:
        if not self.stages:
            raise HeadError(f"a {function} of the picture: expected a convolution first")
        if self.keep and not self.before:
            self.before = function
        elif not self.keep and not self.stages[-1].after:
            self.stages[-1] = replace(self.stages[-1], after=function)
        else:
            raise HeadError(f"a {function} right after another function")

    def _append(self, stage: Stage) -> None:
        expected = self.stages[-1].outputs if self.stages else 3
        if stage.inputs != expected:
            raise HeadError(f"{stage.name}: {stage.inputs} inputs, {expected} come in")
        flat = np.ascontiguousarray(stage.weight).reshape(-1)
        self.stages.append(replace(stage, weight=flat, before=self.before))
        self.before, self.keep = "", False

    def _quantised(self, layer: Layer, outputs: int) -> tuple[NDArray[np.float32], float, int]:
        scale = self._vector(f"{layer['weights']}.scale", outputs, 1.0)
        steps = np.float32(1) / np.float32(layer.get("input_scale", 1.0))
        return scale, float(steps), int(layer.get("input_zero", 0))

    def _tensor(self, name: str, dimensions: int) -> NDArray:
        if name not in self.tensors:
            raise HeadError(f"no tensor {name}: export the bundle again")
        tensor = self.tensors[name]
        if tensor.ndim != dimensions or tensor.dtype not in (np.float32, np.int8):
            raise HeadError(
                f"{name}: expected float32 or int8 of {dimensions} dimensions, "
                f"got {tensor.dtype} {tensor.shape}"
            )
        return tensor

    def _vector(self, name: str, size: int, default: float) -> NDArray[np.float32]:
        tensor = self.tensors.get(name)
        if tensor is None:
            return np.full(size, default, np.float32)
        if tensor.shape != (size,) or tensor.dtype != np.float32:
            raise HeadError(
                f"{name}: expected float32 ({size},), got {tensor.dtype} {tensor.shape}"
            )
        return np.ascontiguousarray(tensor)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise HeadError(f"normalise: expected three numbers, got {len(values)}")
    r, g, b = (float(v) for v in values)
    return r, g, b
