"""The entropy coder on NVIDIA GPUs: whole batches, the bitstream of every other coder here.

And the field product of secret shares, exact like every other of it; `head` is the int8 head.

Built with -DNARROWS_CUDA=ON; `available` says whether this machine can run it. Latents stay on the
GPU: any float32 array there that speaks DLPack (torch, CuPy, JAX). Work goes to the CUDA stream of
that handle (torch: `torch.cuda.current_stream().cuda_stream`), and is done when a call returns.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.kernels.coder.arrays import EncodedPayload, TableArrays, check_lanes
from narrows.kernels.field import P31, P61

try:
    from narrows.kernels.cuda import _cuda
except ImportError:
    _cuda = None  # type: ignore[assignment]

Floats = NDArray[np.float32]
Coded = tuple[bytes, int, int]  # payload, lanes, tail
NOT_BUILT = "built without CUDA: configure with -DNARROWS_CUDA=ON"
VERDICTS = (
    None,
    "bytes, lanes and tail that no payload has",
    "a lane starts below the coder's range",
    "the payload ends before its symbols do",
    "a lane does not end where it must",
    "an escaped symbol beyond int16",
    "symbols end before the payload does",
    "a payload at an odd address",
    "the payload does not fit its slot",
)


def available() -> bool:
    """Whether the extension is built and finds a GPU that it has code for."""
    return _cuda is not None and _cuda.devices() > 0


def encode_batch(
    latents: Any,
    gain: Floats,
    median: Floats,
    tables: TableArrays,
    lanes: int = 32,
    slot_bytes: int = 0,
    stream: int = 0,
) -> list[EncodedPayload]:
    """float32 (batch, C, height, width) on a GPU, float32 (C,) gain and median -> payloads.

    lanes: a power of two to 64, fewer than 32 leave threads idle; 0: the CPU coder's choice for
        each payload.
    slot_bytes: room for a payload, a multiple of 4; 0 for 2 bytes a symbol.

    Raises:
        ValueError: shapes that do not fit the tables, or a payload that does not fit its slot.
        RuntimeError: from CUDA.
    """
    batch, area = _check_frames(latents, tables, gain, median)
    check_lanes(lanes)
    slot_bytes = slot_bytes or 2 * tables.channels * area // 4 * 4 + 512
    if not batch:
        return []
    coder = prepared(tables, _cuda.device_of(latents), area)
    found = coder.encode(latents, gain, median, lanes, slot_bytes, stream)
    for index, (_, _, _, verdict) in enumerate(found):
        if verdict:
            raise ValueError(f"frame {index}: {VERDICTS[verdict]}, {slot_bytes} bytes")
    return [EncodedPayload(*coded[:3]) for coded in found]


def decode_batch(
    coded: Sequence[Coded],
    tables: TableArrays,
    inverse_gain: Floats,
    median: Floats,
    out: Any,
    stream: int = 0,
) -> list[str | None]:
    """Payloads into float32 (batch, C, height, width) on a GPU; per payload an error or None.

    A corrupt payload's latent is zeros; its neighbours are not affected.

    Raises:
        ValueError: shapes that do not fit the tables.
        RuntimeError: from CUDA.
    """
    batch, area = _check_frames(out, tables, inverse_gain, median)
    if batch != len(coded):
        raise ValueError(f"{len(coded)} payloads for {batch} frames")
    if not batch:
        return []
    coder = prepared(tables, _cuda.device_of(out), area)
    found = coder.decode(list(coded), inverse_gain, median, out, stream)
    return [VERDICTS[verdict] for verdict in found]


def field_matmul(left: Any, right: Any, p: int, out: Any, stream: int = 0) -> None:
    """uint64 (m, k) by (k, n), entries below p, into uint64 (m, n): their product modulo p.

    p: field.P31 or field.P61. All three on one GPU, row after row.

    Raises:
        ValueError: shapes that do not fit, another p, an entry not below p.
        RuntimeError: from CUDA.
    """
    if _cuda is None:
        raise RuntimeError(NOT_BUILT)
    if p not in (P31, P61):
        raise ValueError(f"expected p to be 2^31 - 1 or 2^61 - 1, got {p}")
    a, b, c = (tuple(matrix.shape) for matrix in (left, right, out))
    if not (len(a) == len(b) == 2 and a[1] == b[0] and c == (a[0], b[1])):
        raise ValueError(f"expected (m, k) by (k, n) into (m, n), got {a} by {b} into {c}")
    if not _cuda.field_matmul(left, right, p.bit_length(), out, stream):
        raise ValueError(f"expected entries below {p}")


def _check_frames(
    frames: Any, tables: TableArrays, gain: Floats, median: Floats
) -> tuple[int, int]:
    """The batch size and a channel's symbols."""
    if _cuda is None:
        raise RuntimeError(NOT_BUILT)
    shape = tuple(frames.shape)
    if len(shape) != 4 or shape[1] != tables.channels:
        raise ValueError(f"expected (batch, {tables.channels}, height, width), got {shape}")
    for values in (gain, median):
        if values.dtype != np.float32 or values.shape != (tables.channels,):
            raise ValueError(f"expected float32 ({tables.channels},), got {values.shape}")
    return shape[0], shape[2] * shape[3]


def prepared(tables: TableArrays, device: int, area: int) -> "_cuda.Coder":
    """The tables on a GPU, copied there once, for frames of `area` symbols a channel."""
    key = f"cuda:{device}:{area}"
    if key not in tables.prepared:
        tables.prepared[key] = _cuda.Coder(device, tables.offsets, tables.lengths, tables.cdf, area)
    coder: _cuda.Coder = tables.prepared[key]
    return coder


__all__ = ["VERDICTS", "available", "decode_batch", "encode_batch", "field_matmul", "prepared"]
