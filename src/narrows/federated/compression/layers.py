"""A model's tensors: which of them are coded, which travel as they are, and what both ends know."""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from narrows.errors import ConfigError, CorruptPayload, TruncatedPacket

MOST_TENSORS = 1 << 14
MOST_NUMBERS = 1 << 30
LONGEST_NAME = 256
FEWEST_CODED = 16  # numbers; a smaller tensor costs less as it is than a table of it
# Averages that layers keep of their inputs: a variance moved by a rounded step could turn negative.
STATISTICS = ("running_mean", "running_var")
FLOATS = ("float16", "float32", "float64")
EXACT = (*FLOATS, "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


class Tensor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One array of a model: its name, numpy's name of its type, its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def coded(self) -> bool:
        """Whether it is compressed; counters, statistics and tiny tensors are not."""
        return (
            self.dtype in FLOATS
            and self.size >= FEWEST_CODED
            and not self.name.endswith(STATISTICS)
        )

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns: outputs, and all that leads to one of them."""
        rows = self.shape[0] if len(self.shape) > 1 else 1
        return rows, self.size // rows


class Layout(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All tensors, in their order, and for each that is coded the exponent of its grid."""

    tensors: tuple[Tensor, ...]
    exponents: tuple[int, ...]

    @property
    def coded(self) -> list[Tensor]:
        return [tensor for tensor in self.tensors if tensor.coded]

    @property
    def exact(self) -> list[Tensor]:
        return [tensor for tensor in self.tensors if not tensor.coded]

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Layout":
        """Raises CorruptPayload: no layout, or one beyond the limits."""
        try:
            layout = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CorruptPayload(f"a model's layout cannot be read: {error}: resend") from None
        if fault := layout.fault():
            raise CorruptPayload(f"a model's layout: {fault}: resend")
        return layout

    def fault(self) -> str | None:
        """Why this is no model that can be coded, or None. Everything is checked before use."""
        if not 0 < len(self.tensors) <= MOST_TENSORS:
            return f"{len(self.tensors)} tensors: expected 1 to {MOST_TENSORS}"
        for tensor in self.tensors:
            if len(tensor.name) > LONGEST_NAME or tensor.dtype not in EXACT:
                return (
                    f"{tensor.name[:40]} of {tensor.dtype[:20]}: expected numbers and short names"
                )
            if len(tensor.shape) > 8 or any(not 0 <= n <= MOST_NUMBERS for n in tensor.shape):
                return f"{tensor.name} of shape {tensor.shape[:8]}"
        if sum(tensor.size for tensor in self.tensors) > MOST_NUMBERS:
            return f"more than {MOST_NUMBERS} numbers"
        if len({tensor.name for tensor in self.tensors}) < len(self.tensors):
            return "two tensors of one name"
        if len(self.exponents) != len(self.coded) or any(abs(e) > 100 for e in self.exponents):
            return f"{len(self.exponents)} exponents for {len(self.coded)} coded tensors"
        return None


def tensors_of(arrays: ArrayRecord) -> tuple[Tensor, ...]:
    """What the arrays are. Raises ConfigError: types that are no numbers, or too many of them."""
    found = tuple(
        Tensor(name, str(array.numpy().dtype), tuple(array.numpy().shape))
        for name, array in arrays.items()
    )
    trial = Layout(found, (0,) * sum(tensor.coded for tensor in found))
    if fault := trial.fault():
        raise ConfigError(f"a model that cannot be compressed: {fault}")
    return found


def coded_of(arrays: ArrayRecord, layout: Layout) -> list[NDArray[np.float32]]:
    """The tensors that are coded, flat. Raises ConfigError: not finite, or other tensors."""
    if tensors_of(arrays) != layout.tensors:
        raise ConfigError("other arrays came back than were sent: keep names, types and shapes")
    found = []
    for tensor in layout.coded:
        values = arrays[tensor.name].numpy().astype(np.float32).ravel()
        if not np.isfinite(values).all():
            raise ConfigError(f"{tensor.name} has numbers that are not finite: lower the step size")
        found.append(values)
    return found


def exact_of(arrays: ArrayRecord, layout: Layout) -> bytes:
    """The tensors that travel as they are, one after the other, little-endian."""
    values = [arrays[tensor.name].numpy() for tensor in layout.exact]
    return b"".join(v.astype(v.dtype.newbyteorder("<")).tobytes() for v in values)


def exact_bytes(layout: Layout) -> int:
    """How long `exact_of` is."""
    return sum(tensor.size * np.dtype(tensor.dtype).itemsize for tensor in layout.exact)


def record(coded: Sequence[NDArray], exact: bytes, layout: Layout) -> ArrayRecord:
    """The inverse of `coded_of` and `exact_of`. Raises TruncatedPacket: other bytes than needed."""
    if len(exact) != exact_bytes(layout):
        raise TruncatedPacket(f"expected {exact_bytes(layout)} bytes of tensors, got {len(exact)}")
    whole: dict[str, NDArray] = {}
    start = 0
    for tensor in layout.exact:
        kind = np.dtype(tensor.dtype).newbyteorder("<")
        values = np.frombuffer(exact, kind, tensor.size, start).astype(tensor.dtype)
        whole[tensor.name] = values.reshape(tensor.shape)
        start += tensor.size * kind.itemsize
    for tensor, values in zip(layout.coded, coded, strict=True):
        whole[tensor.name] = values.reshape(tensor.shape).astype(tensor.dtype)
    return _ordered(whole, layout)


def typed(arrays: ArrayRecord, layout: Layout) -> ArrayRecord:
    """Arrays in the layout's types: averaging makes numbers with a point of counters."""
    whole = {}
    for tensor in layout.tensors:
        values = arrays[tensor.name].numpy()
        if not tensor.dtype.startswith("float"):
            values = np.rint(values)
        whole[tensor.name] = values.astype(tensor.dtype)
    return _ordered(whole, layout)


def _ordered(whole: Mapping[str, NDArray], layout: Layout) -> ArrayRecord:
    return ArrayRecord({t.name: Array(np.asarray(whole[t.name])) for t in layout.tensors})
