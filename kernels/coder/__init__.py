"""The entropy coder: int16 symbols and integer tables to bytes and back.

Native where the extension is built, else the reference: the same bytes, a hundred times slower.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from narrows.kernels.coder import reference
from narrows.kernels.coder.arrays import (
    MAX_LANES,
    CorruptStream,
    EncodedPayload,
    TableArrays,
    check_frame,
    check_rows,
)

try:
    from narrows.kernels import _native
except ImportError:
    _native = None  # type: ignore[assignment]

BACKEND: Literal["native", "reference"] = "native" if _native is not None else "reference"

Coded = tuple[bytes, int, int]  # payload, lanes, tail


def encode(symbols: NDArray[np.int16], tables: TableArrays, lanes: int = 0) -> EncodedPayload:
    """int16 (C, H, W) -> payload. `lanes`: a power of two to 64, or 0 to choose by size.

    Raises:
        ValueError: channels differ from the tables', or an impossible lane count.
    """
    check_frame(symbols, tables)
    lanes = _checked_lanes(lanes or lanes_for(cost_bits(symbols, tables) / 8))
    symbols = np.ascontiguousarray(symbols)
    if _native is None:
        return reference.encode(symbols, tables, lanes)
    return EncodedPayload(*_native.encode(symbols, _prepared(tables), lanes))


def lanes_for(payload_bytes: float) -> int:
    """Lanes for a payload of about that size: each costs a byte and lets kernels go faster."""
    for limit, lanes in ((1 << 10, 2), (4 << 10, 4), (16 << 10, 8), (64 << 10, 16)):
        if payload_bytes < limit:
            return lanes
    return 32


def decode(
    payload: bytes, tables: TableArrays, height: int, width: int, lanes: int, tail: int
) -> NDArray[np.int16]:
    """Payload -> int16 (C, height, width). Raises CorruptStream."""
    symbols, errors = decode_batch([(payload, lanes, tail)], tables, height, width, 1)
    if errors[0] is not None:
        raise CorruptStream(errors[0])
    frame: NDArray[np.int16] = symbols[0]
    return frame


def decode_batch(
    coded: Sequence[Coded], tables: TableArrays, height: int, width: int, threads: int
) -> tuple[NDArray[np.int16], list[str | None]]:
    """Payloads of one shape -> int16 (batch, C, height, width), and per payload an error or None.

    A corrupt payload's symbols are zeros; its neighbours are not affected.
    """
    out = np.zeros((len(coded), tables.channels, height, width), np.int16)
    if _native is not None:
        return out, _native.decode_batch(list(coded), _prepared(tables), out, threads)
    errors: list[str | None] = [None] * len(coded)
    for index, (payload, lanes, tail) in enumerate(coded):
        try:
            out[index] = reference.decode(payload, tables, height, width, lanes, tail)
        except CorruptStream as error:
            errors[index] = str(error)
    return out, errors


def encode_rows(
    values: NDArray[np.int16], counts: NDArray[np.int32], tables: TableArrays, lanes: int = 0
) -> EncodedPayload:
    """int16 (n,), of which table c codes the next counts[c] -> payload; `lanes` as in `encode`.

    Raises:
        ValueError: counts that do not fit the values or the tables, or an impossible lane count.
    """
    check_rows(len(values), counts, tables)
    lanes = lanes or lanes_for(reference.cost_bits_rows(values, counts, tables) / 8)
    return reference.encode_rows(values, counts, tables, _checked_lanes(lanes))


def decode_rows(
    payload: bytes, counts: NDArray[np.int32], tables: TableArrays, lanes: int, tail: int
) -> NDArray[np.int16]:
    """Payload -> int16 (counts.sum(),), the inverse of `encode_rows`. Raises CorruptStream."""
    check_rows(int(counts.sum()), counts, tables)
    return reference.decode_rows(payload, counts, tables, lanes, tail)


def encode_latent(
    latent: NDArray[np.float32],
    gain: NDArray[np.float32],
    median: NDArray[np.float32],
    tables: TableArrays,
    lanes: int = 0,
) -> EncodedPayload:
    """float32 (C, H, W) -> payload of round(latent * gain - median), saturated to int16.

    Raises:
        ValueError: as `encode`.
    """
    return encode(reference.quantise(latent, gain, median), tables, lanes)


def decode_latents(
    coded: Sequence[Coded],
    tables: TableArrays,
    inverse_gain: NDArray[np.float32],
    median: NDArray[np.float32],
    height: int,
    width: int,
    threads: int,
    out: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], list[str | None]]:
    """Payloads -> float32 (batch, C, height, width), and per payload an error or None."""
    symbols, errors = decode_batch(coded, tables, height, width, threads)
    if out is None:
        out = np.empty(symbols.shape, np.float32)
    np.add(symbols, median[:, None, None], out=out)
    out *= inverse_gain[:, None, None]
    return out, errors


def cost_bits(symbols: NDArray[np.int16], tables: TableArrays) -> float:
    """The tables' ideal code length of int16 (C, H, W), escapes included, in bits.

    Raises:
        ValueError: channels differ from the tables'.
    """
    check_frame(symbols, tables)
    if _native is None:
        return reference.cost_bits(symbols, tables)
    return float(_native.cost_bits(np.ascontiguousarray(symbols), _prepared(tables)))


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4)."""
    return reference.crc32c(data) if _native is None else int(_native.crc32c(data))


def _checked_lanes(lanes: int) -> int:
    if lanes & (lanes - 1) or not 1 <= lanes <= MAX_LANES:
        raise ValueError(f"lanes must be a power of two from 1 to {MAX_LANES}, got {lanes}")
    return lanes


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
    "encode",
    "encode_latent",
    "encode_rows",
    "lanes_for",
]
