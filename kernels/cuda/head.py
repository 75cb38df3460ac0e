"""The int8 head on an NVIDIA GPU: the same latents as every other int8 head, bit for bit.

A picture goes to the GPU, and its latent comes back, or its payload: head and coder in one go. A
head in floating point, or with a GELU, whose curve is each machine's own, stays on the CPU.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from narrows.kernels import cuda
from narrows.kernels.coder import EncodedPayload, TableArrays
from narrows.kernels.head import HeadError
from narrows.kernels.head.plan import Layer, Tensors, make_plan

Floats = NDArray[np.float32]


class Head:
    """A bundle's head, its weights copied once; calls from several threads take turns."""

    def __init__(self, layers: Sequence[Layer], tensors: Tensors, device: int = 0):
        """`device`: which GPU.

        Raises:
            HeadError: layers and tensors that do not fit together.
            ValueError: a head that stays on the CPU.
            RuntimeError: from CUDA, or built without it.
        """
        if cuda._cuda is None:
            raise RuntimeError(cuda.NOT_BUILT)
        self.plan, self.device = make_plan(layers, tensors), device
        self._on_gpu = cuda._cuda.Head(device, self.plan)

    def run(self, picture: NDArray[np.uint8]) -> Floats:
        """uint8 RGB (height, width, 3) -> float32 latent (channels, h, w).

        Raises:
            HeadError: a picture of another type or shape, or too small for the head.
            RuntimeError: from CUDA.
        """
        latent = np.empty(self.plan.latent_shape(picture), np.float32)
        self._on_gpu.run(np.ascontiguousarray(picture), latent)
        return latent

    def encode(
        self, picture: NDArray[np.uint8], gain: Floats, median: Floats, tables: TableArrays
    ) -> EncodedPayload:
        """uint8 RGB (height, width, 3) -> the payload `coder.encode_latent` makes of its latent.

        Raises:
            HeadError: as `run`, or tables, gains or medians of other channels. RuntimeError.
        """
        channels, height, width = self.plan.latent_shape(picture)
        for what, count in (
            ("tables", tables.channels),
            ("gains", len(gain)),
            ("medians", len(median)),
        ):
            if count != channels:
                raise HeadError(f"{what} of {count} channels, the latent has {channels}")
        coder = cuda.prepared(tables, self.device, height * width)
        symbols = channels * height * width
        picture = np.ascontiguousarray(picture)
        return EncodedPayload(*self._on_gpu.encode(picture, symbols, coder, gain, median))


__all__ = ["Head"]
