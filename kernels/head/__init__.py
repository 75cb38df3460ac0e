"""The network's first part on the device: a picture to its latent.

Native where the extension is built, else numpy: the same within rounding, a hundred times slower.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from narrows.kernels.head import reference
from narrows.kernels.head.plan import HeadError, Layer, Tensors, UnknownLayer, make_plan

try:
    from narrows.kernels import _native
except ImportError:
    _native = None  # type: ignore[assignment]


class Head:
    """A bundle's head, its weights packed once; `run` may be called from several threads."""

    def __init__(self, layers: Sequence[Layer], tensors: Tensors, isa: str = ""):
        """`isa`: an instruction set by name, or the one NARROWS_ISA or the processor chooses.

        Raises:
            HeadError: layers and tensors that do not fit together.
        """
        self.plan = make_plan(layers, tensors)
        self._native = None if _native is None else _native.Head(self.plan, isa)

    @property
    def integer(self) -> bool:
        """Whether its weights are int8."""
        return self.plan.integer

    def run(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB (height, width, 3) -> float32 latent (channels, h, w).

        Raises:
            HeadError: a picture of another type or shape, or too small for the head.
        """
        shape = self.plan.latent_shape(picture)
        if self._native is None:
            return reference.run(self.plan, picture)
        latent = np.empty(shape, np.float32)
        self._native.run(np.ascontiguousarray(picture), latent)
        return latent


__all__ = ["Head", "HeadError", "UnknownLayer"]
