"""Coded symbols as self-contained byte strings, for callers who keep shapes and tables themselves.

docs/bitstream.md has every byte. The checksum also covers what is not in the string, the tables and
the symbols per table: decoding with another model or another size is an error, not other symbols.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from narrows.codec.tables import CodingTables
from narrows.errors import (
    ChecksumError,
    PacketError,
    ShapeError,
    TruncatedPacket,
    UnsupportedVersion,
)
from narrows.kernels.coder import EncodedPayload, crc32c

MAGIC = b"NS"
VERSION = 1
HEADER_BYTES = 12
MAX_PAYLOAD_BYTES = (1 << 24) - 1

_FIELDS = struct.Struct("<2sBH3s")  # all of the header but the checksum
_CHECKSUM = struct.Struct("<I")


def fingerprint(tables: CodingTables) -> bytes:
    """Four bytes that stand for the tables in a string's checksum."""
    arrays = tables.arrays
    parts = (arrays.offsets.astype("<i4"), arrays.lengths.astype("<i4"), arrays.cdf.astype("<u2"))
    return _CHECKSUM.pack(crc32c(b"".join(part.tobytes() for part in parts)))


def seal(coded: EncodedPayload, counts: NDArray[np.uint64], tables: bytes) -> bytes:
    """A string of a payload that holds counts[c] symbols of table c; `tables`: their fingerprint.

    Raises:
        ShapeError: a payload over 16 MiB.
    """
    if len(coded.payload) > MAX_PAYLOAD_BYTES:
        raise ShapeError(
            f"a payload of {len(coded.payload)} bytes: a string holds {MAX_PAYLOAD_BYTES}: "
            "compress the picture in parts"
        )
    lanes = coded.lanes.bit_length() - 1
    size = len(coded.payload).to_bytes(3, "little")
    fields = _FIELDS.pack(MAGIC, VERSION << 4 | lanes, coded.tail, size)
    checksum = _checksum(fields, coded.payload, counts, tables)
    return fields + checksum + coded.payload


def unseal(string: bytes, counts: NDArray[np.uint64], tables: bytes) -> EncodedPayload:
    """The inverse of `seal`, everything checked but the entropy-coded payload itself.

    Raises:
        TruncatedPacket: fewer bytes than the header needs or announces.
        UnsupportedVersion: a version other than 1.
        ChecksumError: other bytes, other tables or other counts than those sealed.
        PacketError: not such a string, or bytes left over.
    """
    if len(string) < HEADER_BYTES:
        raise TruncatedPacket(
            f"a string has at least {HEADER_BYTES} bytes, got {len(string)}: resend"
        )
    magic, kind, tail, size = _FIELDS.unpack_from(string)
    if magic != MAGIC:
        raise PacketError(
            f"not a string of this coder: expected it to begin with {MAGIC!r}, got {magic!r}: "
            "decode it with the coder that wrote it"
        )
    if kind >> 4 != VERSION:
        raise UnsupportedVersion(
            f"string version {kind >> 4}; this decoder reads {VERSION}: update it"
        )
    expected = HEADER_BYTES + int.from_bytes(size, "little")
    if len(string) < expected:
        raise TruncatedPacket(f"the header announces {expected} bytes, got {len(string)}: resend")
    if len(string) > expected:
        raise PacketError(f"the header announces {expected} bytes, got {len(string)}")
    payload = string[HEADER_BYTES:]
    fields = string[: _FIELDS.size]
    if string[_FIELDS.size : HEADER_BYTES] != _checksum(fields, payload, counts, tables):
        raise ChecksumError(
            "CRC-32C differs: bytes changed on the way, or the string was written with another "
            "model or latent size: resend, and compare the models"
        )
    return EncodedPayload(payload, 1 << (kind & 0xF), tail)


def separated(data: bytes) -> list[bytes]:
    """Strings that stand one after the other, each by the length its header announces.

    Raises:
        TruncatedPacket: the last one is cut short.
    """
    strings = []
    while data:
        if len(data) < HEADER_BYTES:
            raise TruncatedPacket(f"{len(data)} bytes are no string's header: resend")
        size = HEADER_BYTES + int.from_bytes(_FIELDS.unpack_from(data)[3], "little")
        if len(data) < size:
            raise TruncatedPacket(f"the header announces {size} bytes, got {len(data)}: resend")
        strings.append(data[:size])
        data = data[size:]
    return strings


def _checksum(fields: bytes, payload: bytes, counts: NDArray[np.uint64], tables: bytes) -> bytes:
    return _CHECKSUM.pack(crc32c(fields + payload + tables + counts.astype("<u8").tobytes()))
