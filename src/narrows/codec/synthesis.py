"""A hyperprior's synthesis in integers: the same tables on every device and server.

Floating point sums differ in their last bits between machines, and one bit decides which table a
symbol is coded with; everything after it is then lost. Here weights, activations and sums are
integers (Ballé, Johnston & Minnen, "Integer networks for data compression with latent-variable
models", ICLR 2019).

Activations are in 1/64 and within 2^20, weights within 2^15, and a sum has at most 2^14 terms:
below 2^49 in all. Products are formed in float64, which holds every integer to 2^53, so the result
is exact in whatever order a BLAS adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import BundleError
from narrows.kernels.coder import crc32c

FRACTION = 6  # bits of an activation below the point
ACTIVATION_LIMIT, WEIGHT_LIMIT, TERM_LIMIT = 1 << 20, 1 << 15, 1 << 14
BIAS_LIMIT = 1 << 50
SCALES = 64
SMALLEST, LARGEST = 0.11, 256.0  # of the scales, which rise geometrically: CompressAI's


def scale_table() -> NDArray[np.float64]:
    """Standard deviations of the 64 Gaussian tables."""
    scales: NDArray[np.float64] = np.exp(np.linspace(np.log(SMALLEST), np.log(LARGEST), SCALES))
    return scales


@dataclass(frozen=True, eq=False)
class Layer:
    """A 3x3 convolution: int32 (out, in, 3, 3) of `shift` fraction bits, and int64 biases (out,).

    A layer but the last ends in a ReLU; one that doubles unfolds four channels into 2x2 before it.
    """

    weight: NDArray[np.int32]
    bias: NDArray[np.int64]
    shift: int
    doubles: bool

    def __post_init__(self) -> None:
        if self.weight.ndim != 4 or self.weight.shape[2:] != (3, 3) or not self.weight.size:
            raise BundleError(f"synthesis: weights (out, in, 3, 3) expected, {self.weight.shape}")
        out, inputs = self.weight.shape[:2]
        if self.bias.shape != (out,) or (self.doubles and out % 4):
            raise BundleError(f"synthesis: {out} outputs do not fit biases {self.bias.shape}")
        if np.abs(self.weight.astype(np.int64)).max() > WEIGHT_LIMIT or inputs * 9 > TERM_LIMIT:
            raise BundleError("synthesis: a weight or a sum is too large to be exact: export again")
        # Not by np.abs: the magnitude of int64's least value is itself, below every limit.
        biases_fit = self.bias.min() >= -BIAS_LIMIT and self.bias.max() <= BIAS_LIMIT
        if not 0 <= self.shift <= 30 or not biases_fit:
            raise BundleError("synthesis: a shift or a bias is out of range: export again")

    def run(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 (in, h, w) -> (out, h, w), in 1/64 again."""
        _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1))).astype(np.float64)
        columns = np.stack(
            [padded[:, r : r + height, c : c + width] for r in range(3) for c in range(3)], 1
        ).reshape(-1, height * width)
        sums = (self.weight.reshape(len(self.weight), -1).astype(np.float64) @ columns).astype(
            np.int64
        ) + self.bias[:, None]
        half = (1 << self.shift) >> 1
        y = np.clip((sums + half) >> self.shift, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        shaped: NDArray[np.int64] = y.reshape(-1, height, width)
        return shaped


@dataclass(frozen=True, eq=False)
class IntegerSynthesis:
    """Hyperlatent symbols to the mean and the scale of every element of a latent."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        inputs = [layer.weight.shape[1] for layer in self.layers[1:]]
        outputs = [len(layer.weight) // (4 if layer.doubles else 1) for layer in self.layers]
        if not self.layers or inputs != outputs[:-1] or outputs[-1] % 2:
            raise BundleError(f"synthesis: layers of {outputs} outputs take {inputs} inputs")

    @property
    def inputs(self) -> int:
        """Channels of the hyperlatent."""
        return int(self.layers[0].weight.shape[1])

    def run(
        self, symbols: NDArray[np.int16], height: int, width: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """int16 (hidden, hz, wz) -> means float32 (C, height, width), table indexes in 0..63.

        Means are multiples of 1/64, so they are the same float32 everywhere. What the doublings
        give beyond height and width is cut off.
        """
        x = np.clip(symbols.astype(np.int64) << FRACTION, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        for number, layer in enumerate(self.layers, 1):
            x = layer.run(x)
            if layer.doubles:
                x = _unfolded(x)
            if number < len(self.layers):
                x = np.maximum(x, 0)
        mean, scale = np.split(x[:, :height, :width], 2)
        half = (1 << FRACTION) >> 1
        index = np.clip((scale + half) >> FRACTION, 0, SCALES - 1)
        return (mean / (1 << FRACTION)).astype(np.float32), index

    def fingerprint(self) -> bytes:
        """Four bytes that stand for every layer in a string's checksum: means are not in tables."""
        parts = []
        for one in self.layers:
            form = np.array([*one.weight.shape, one.shift, one.doubles], "<i4")
            parts += [form.tobytes(), one.weight.astype("<i4").tobytes()]
            parts += [one.bias.astype("<i8").tobytes()]
        return crc32c(b"".join(parts)).to_bytes(4, "little")

    def to_arrays(self, prefix: str = "synthesis.") -> dict[str, NDArray]:
        """Named arrays for a safetensors file."""
        arrays: dict[str, NDArray] = {}
        for number, layer in enumerate(self.layers):
            arrays[f"{prefix}{number}.weight"] = layer.weight
            arrays[f"{prefix}{number}.bias"] = layer.bias
            arrays[f"{prefix}{number}.form"] = np.array([layer.shift, layer.doubles], np.int32)
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray], prefix: str = "synthesis."
    ) -> "IntegerSynthesis":
        """Read and check what `to_arrays` wrote. Raises BundleError."""
        layers: list[Layer] = []
        while f"{prefix}{len(layers)}.weight" in arrays:
            name = f"{prefix}{len(layers)}"
            try:
                weight, bias, form = (arrays[f"{name}.{k}"] for k in ("weight", "bias", "form"))
            except KeyError as error:
                raise BundleError(f"synthesis: no tensor {error}: export again") from None
            kinds = [str(tensor.dtype) for tensor in (weight, bias, form)]
            if kinds != ["int32", "int64", "int32"] or form.shape != (2,):
                raise BundleError(
                    f"{name}: expected int32 weights, int64 biases and two int32 of form, got "
                    f"{', '.join(kinds)} {form.shape}: export again"
                )
            layers.append(Layer(weight, bias, int(form[0]), bool(form[1])))
        return cls(tuple(layers))


def _unfolded(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """(4 c, h, w) -> (c, 2 h, 2 w), as torch's pixel_shuffle."""
    channels, height, width = x.shape
    parts = x.reshape(channels // 4, 2, 2, height, width).transpose(0, 3, 1, 4, 2)
    return parts.reshape(channels // 4, 2 * height, 2 * width)
