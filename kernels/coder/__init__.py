"""The entropy coder: symbols or latents and integer tables to bytes and back.

Native where the extension is built, else the reference: the same bytes, a thousand times slower.
A frame is (C, H, W) and its channel c follows table c; the `rows` functions take rows of any
lengths instead. A latent becomes symbols by round(latent * gain - median), half to even, within
+-32767, and comes back as (symbol + median) * inverse gain. `isa` names an instruction set; without
it `NARROWS_ISA` chooses, or the processor.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError
from narrows.kernels.coder import reference
from narrows.kernels.coder.arrays import (
    CorruptStream,
    EncodedPayload,
    TableArrays,
    check_counts,
    check_frame,
    check_lanes,
)

try:
    from narrows.kernels import _native
except ImportError:
    _native = None  # type: ignore[assignment]
else:
    try:
        _native.isa()
    except RuntimeError as error:  # NARROWS_ISA names what is not here
        raise ConfigError(str(error)) from None

BACKEND: Literal["native", "reference"] = "native" if _native is not None else "reference"

Coded = tuple[bytes, int, int]  # payload, lanes, tail
Symbols = NDArray[np.int16]
Latent = NDArray[np.float32]
Counts = NDArray[np.uint64]
Errors = list[str | None]


def encode(symbols: Symbols, tables: TableArrays, lanes: int = 0, isa: str = "") -> EncodedPayload:
    """int16 (C, H, W) -> payload. `lanes`: a power of two to 64, or 0 to choose by size.

    Raises:
        ValueError: channels differ from the tables', or an impossible lane count.
    """
    check_frame(symbols, np.int16, tables)
    return encode_rows(symbols.reshape(-1), _counts(tables, *symbols.shape[1:]), tables, lanes, isa)


def encode_rows(
    symbols: Symbols, counts: Counts, tables: TableArrays, lanes: int = 0, isa: str = ""
) -> EncodedPayload:
    """int16 (n,), the first `counts[0]` of them under table 0, and so on -> payload.

    counts: uint64 (C,). Raises ValueError: they do not add up to n, or an impossible lane count.
    """
    check_counts(symbols, counts, tables)
    check_lanes(lanes)
    if _native is None:
        return reference.encode(symbols, counts, tables, lanes)
    return EncodedPayload(
        *_native.encode_rows(_ready(symbols), counts, _prepared(tables), lanes, isa)
    )


def encode_latent(
    latent: Latent,
    gain: Latent,
    median: Latent,
    tables: TableArrays,
    lanes: int = 0,
    isa: str = "",
) -> EncodedPayload:
    """float32 (C, H, W), with float32 (C,) gain and median -> payload, in one pass.

    Raises:
        ValueError: channels differ from the tables', or an impossible lane count.
    """
    check_frame(latent, np.float32, tables)
    check_lanes(lanes)
    if _native is None:
        return encode(reference.quantise(latent, gain, median), tables, lanes)
    latent = _ready(latent)
    return EncodedPayload(
        *_native.encode_latent(latent, gain, median, _prepared(tables), lanes, isa)
    )


def encode_latents(
    latents: Latent,
    gain: Latent,
    median: Latent,
    tables: TableArrays,
    threads: int,
    lanes: int = 0,
    isa: str = "",
) -> list[EncodedPayload]:
    """float32 (batch, C, H, W) -> a payload each, as of `encode_latent`, on several threads.

    Raises:
        ValueError: channels differ from the tables', or an impossible lane count.
    """
    if latents.ndim != 4:
        raise ValueError(f"expected float32 (batch, C, height, width), got {latents.shape}")
    for latent in latents[:1]:
        check_frame(latent, np.float32, tables)
    check_lanes(lanes)
    if _native is None:
        return [encode_latent(latent, gain, median, tables, lanes) for latent in latents]
    coded = _native.encode_latents(
        _ready(latents), gain, median, _prepared(tables), lanes, threads, isa
    )
    return [EncodedPayload(*packet) for packet in coded]


def decode(
    payload: bytes, tables: TableArrays, height: int, width: int, lanes: int, tail: int
) -> Symbols:
    """Payload -> int16 (C, height, width). Raises CorruptStream."""
    symbols, errors = decode_batch([(payload, lanes, tail)], tables, height, width, 1)
    if errors[0] is not None:
        raise CorruptStream(errors[0])
    frame: Symbols = symbols[0]
    return frame


def decode_batch(
    coded: Sequence[Coded],
    tables: TableArrays,
    height: int,
    width: int,
    threads: int,
    isa: str = "",
) -> tuple[Symbols, Errors]:
    """Payloads of one shape -> int16 (batch, C, height, width), and per payload an error or None.

    A corrupt payload's symbols are zeros; its neighbours are not affected.
    """
    symbols, errors = decode_rows(coded, _counts(tables, height, width), tables, threads, isa)
    return symbols.reshape(len(coded), tables.channels, height, width), errors


def decode_rows(
    coded: Sequence[Coded], counts: Counts, tables: TableArrays, threads: int, isa: str = ""
) -> tuple[Symbols, Errors]:
    """Payloads of `encode_rows` -> int16 (batch, n), and per payload an error or None."""
    out = np.empty((len(coded), int(counts.sum())), np.int16)
    if _native is not None:
        coded = list(coded)
        return out, _native.decode_rows(coded, counts, _prepared(tables), out, threads, isa)
    errors: Errors = [None] * len(coded)
    for index, (payload, lanes, tail) in enumerate(coded):
        try:
            out[index] = reference.decode(payload, counts, tables, lanes, tail)
        except CorruptStream as error:
            out[index] = 0
            errors[index] = str(error)
    return out, errors


def decode_latents(
    coded: Sequence[Coded],
    tables: TableArrays,
    inverse_gain: Latent,
    median: Latent,
    height: int,
    width: int,
    threads: int,
    out: Latent | None = None,
    isa: str = "",
) -> tuple[Latent, Errors]:
    """Payloads of one shape -> float32 (batch, C, height, width), in one pass, and errors.

    out: an array of that shape to fill instead of a new one. A corrupt payload's latent is zeros.
    """
    shape = (len(coded), tables.channels, height, width)
    if out is None:
        out = np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(
            f"expected a contiguous float32 array {shape}, got {out.dtype} {out.shape}"
        )
    if _native is not None:
        prepared = _prepared(tables)
        return out, _native.decode_latents(
            list(coded), inverse_gain, median, prepared, out, threads, isa
        )
    symbols, errors = decode_batch(coded, tables, height, width, threads)
    out[:] = reference.dequantise(symbols, inverse_gain, median)
    out[[error is not None for error in errors]] = 0
    return out, errors


def quantise(latent: Latent, gain: Latent, median: Latent) -> Symbols:
    """float32 (C, H, W), with float32 (C,) gain and median -> int16 (C, H, W)."""
    return reference.quantise(latent, gain, median)


def dequantise(symbols: Symbols, inverse_gain: Latent, median: Latent) -> Latent:
    """int16 (C, H, W) -> float32 (C, H, W), as `decode_latents` does it."""
    return reference.dequantise(symbols, inverse_gain, median)


def cost_bits(symbols: Symbols, tables: TableArrays) -> float:
    """The tables' ideal code length of int16 (C, H, W), escapes included, in bits.

    Raises:
        ValueError: channels differ from the tables'.
    """
    check_frame(symbols, np.int16, tables)
    flat, counts = symbols.reshape(-1), _counts(tables, *symbols.shape[1:])
    if _native is None:
        return reference.cost_bits(flat, counts, tables)
    return float(_native.cost_bits(_ready(flat), counts, _prepared(tables)))


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4)."""
    return reference.crc32c(data) if _native is None else int(_native.crc32c(data))


def instruction_set() -> str:
    """The one in use where none is named, or `reference` where the extension is not built."""
    return "reference" if _native is None else _native.isa()


def instruction_sets() -> list[str]:
    """What `isa` may name here, the best last."""
    return [] if _native is None else _native.isas()


def _counts(tables: TableArrays, height: int, width: int) -> Counts:
    return np.full(tables.channels, height * width, np.uint64)


def _ready(array: NDArray) -> NDArray:
    """The array as native code takes it."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else array.copy()


def _prepared(tables: TableArrays):  # type: ignore[no-untyped-def]
    """The native form of the tables, built once."""
    if "native" not in tables.prepared:
        tables.prepared["native"] = _native.Tables(tables.offsets, tables.lengths, tables.cdf)
    return tables.prepared["native"]


__all__ = [
    "BACKEND",
    "CorruptStream",
    "EncodedPayload",
    "TableArrays",
    "cost_bits",
    "crc32c",
    "decode",
    "decode_batch",
    "decode_latents",
    "decode_rows",
    "dequantise",
    "encode",
    "encode_latent",
    "encode_latents",
    "encode_rows",
    "instruction_set",
    "instruction_sets",
    "quantise",
]
