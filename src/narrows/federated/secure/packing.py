"""Residues modulo 2**b as bytes, b bits each, lowest bit first."""

import numpy as np

from narrows.federated.secure.masks import Words

CHUNK = 1 << 16  # values at a time: their bits stand in a byte each


def packed_bytes(count: int, bits: int) -> int:
    return -(-count * bits // 8)


def pack(values: Words, bits: int) -> bytes:
    """(n,) below 2**bits to packed_bytes(n, bits) bytes."""
    parts = []
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK].astype("<u4")
        each = np.unpackbits(chunk.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
        parts.append(np.packbits(each[:, :bits], bitorder="little").tobytes())
    return b"".join(parts)


def unpack(packed: bytes, count: int, bits: int) -> Words:
    """The inverse, of packed_bytes(count, bits) bytes."""
    values = np.empty(count, np.uint32)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        first = start * bits // 8  # CHUNK is a multiple of 8
        part = np.frombuffer(packed, np.uint8, packed_bytes(size, bits), first)
        each = np.zeros((size, 32), np.uint8)
        each[:, :bits] = np.unpackbits(part, count=size * bits, bitorder="little").reshape(-1, bits)
        whole = np.packbits(each, axis=1, bitorder="little")
        values[start : start + size] = whole.view("<u4")[:, 0]
    return values
