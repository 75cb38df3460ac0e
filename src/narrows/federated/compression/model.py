"""The model as both ends hold it: integers on a grid, so that what is sent is added without error.

A coded tensor is `(base + moved) * 2**exponent`: what the run began with, and how far it has gone
since. Both are integers below 2**24, which float32 holds exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from narrows.errors import TruncatedPacket
from narrows.federated.compression.contexts import Integers, groups
from narrows.federated.compression.layers import (
    Layout,
    coded_of,
    exact_bytes,
    exact_of,
    record,
    tensors_of,
)

FINEST = 16  # a grid's step is about 2**-16 of its tensor's root mean square
FARTHEST = 1 << 23  # a number of the grid


@dataclass(frozen=True, eq=False)
class Model:
    """A version of the model. base and moved: int32 (n,) of each coded tensor."""

    layout: Layout
    version: int
    base: tuple[Integers, ...]
    moved: tuple[Integers, ...]
    exact: bytes

    @classmethod
    def first(cls, arrays: ArrayRecord, error: float) -> "Model":
        """Version 0, near the arrays.

        error: the largest L2 distance from each tensor, relative to its length, roughly.

        Raises:
            ConfigError: arrays that cannot be compressed.
        """
        tensors = tensors_of(arrays)
        plain = Layout(tensors, (0,) * sum(tensor.coded for tensor in tensors))
        values = coded_of(arrays, plain)
        exponents = _exponents([float(np.sqrt(np.mean(v.astype(np.float64) ** 2))) for v in values])
        # Rounding to steps of s leaves an error of s / sqrt(12), and a grid has 2**FINEST a length.
        coarse = max(0, int(np.floor(np.log2(error * np.sqrt(12)))) + FINEST)
        base = tuple(
            _rounded(v, exponent + coarse) << coarse
            for v, exponent in zip(values, exponents, strict=True)
        )
        moved = tuple(np.zeros_like(b) for b in base)
        return cls(Layout(tensors, exponents), 0, base, moved, exact_of(arrays, plain))

    def values(self) -> list[NDArray[np.float32]]:
        """The coded tensors, flat."""
        return [
            np.ldexp((base + moved).astype(np.float32), exponent)
            for base, moved, exponent in zip(
                self.base, self.moved, self.layout.exponents, strict=True
            )
        ]

    def arrays(self) -> ArrayRecord:
        """As a client app trains it. Raises TruncatedPacket: too few exact bytes."""
        return record(self.values(), self.exact, self.layout)

    @cached_property
    def labels(self) -> list[NDArray[np.uint8]]:
        """The group of every number of every coded tensor."""
        return [
            groups(moved, tensor.matrix[0])
            for moved, tensor in zip(self.moved, self.layout.coded, strict=True)
        ]

    def stepped(self, version: int, steps: Sequence[Integers], exact: bytes) -> "Model":
        """The version that steps lead to. Raises TruncatedPacket: other exact bytes than needed."""
        if len(exact) != exact_bytes(self.layout):
            raise TruncatedPacket(
                f"expected {exact_bytes(self.layout)} bytes of tensors, got {len(exact)}: resend"
            )
        moved = tuple(m + step for m, step in zip(self.moved, steps, strict=True))
        return replace(self, version=version, moved=moved, exact=exact)


def _exponents(lengths: Sequence[float]) -> tuple[int, ...]:
    """Of the grids; a tensor that begins as zeros gets the median of the others."""
    scales = [s for s in lengths if s > 0]
    usual = float(np.median(scales)) if scales else 1.0
    found = (int(np.floor(np.log2(s if s > 0 else usual))) - FINEST for s in lengths)
    return tuple(min(max(exponent, -100), 100) for exponent in found)


def _rounded(values: NDArray[np.float32], exponent: int) -> Integers:
    scaled = np.rint(np.ldexp(values.astype(np.float64), -exponent))
    return np.clip(scaled, -FARTHEST, FARTHEST).astype(np.int32)
