"""Packets: a fixed header and a payload. docs/bitstream.md has every byte."""

import struct
from dataclasses import dataclass

from narrows.errors import (
    ChecksumError,
    PacketError,
    ShapeError,
    TruncatedPacket,
    UnsupportedVersion,
)
from narrows.kernels.coder import EncodedPayload, crc32c

MAGIC = b"NW"
VERSION = 1
HEADER_BYTES = 22
REFERENCE_BYTES = 4  # after the header of an inter packet
MAX_PAYLOAD_BYTES = (1 << 24) - 1
MAX_PACKET_BYTES = HEADER_BYTES + REFERENCE_BYTES + MAX_PAYLOAD_BYTES
MAX_LANES_LOG2 = 6
INTER = 0x80  # flag in the lanes byte

_FIELDS = struct.Struct("<2sBB4sHHB3sH")  # all of the header but the checksum
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class PacketHeader:
    """What a packet says about itself."""

    point: int  # operating point
    digest_prefix: bytes  # first 4 bytes of the bundle's digest
    height: int  # of the latent
    width: int
    lanes: int  # a power of two, at most 64
    tail: int  # symbols coded by lane 0 alone
    reference: int | None = None  # CRC-32C of the symbols it is coded against; None: intra


@dataclass(frozen=True)
class Packet:
    """A packet whose checksum held; its payload is not yet decoded."""

    header: PacketHeader
    payload: bytes


def serialise(
    point: int,
    digest_prefix: bytes,
    height: int,
    width: int,
    coded: EncodedPayload,
    reference: int | None = None,
) -> bytes:
    """The packet's bytes; `reference`: CRC-32C of the symbols an inter frame is coded against.

    Raises:
        ShapeError: a latent over 65,535 on a side, or a payload over 16 MiB.
    """
    size = len(coded.payload)
    if max(height, width) > 0xFFFF or size > MAX_PAYLOAD_BYTES:
        raise ShapeError(f"a latent of {height} x {width} and {size} bytes does not fit a packet")
    lanes = coded.lanes.bit_length() - 1 | (0 if reference is None else INTER)
    fields = _FIELDS.pack(
        MAGIC,
        VERSION,
        point,
        digest_prefix,
        height,
        width,
        lanes,
        size.to_bytes(3, "little"),
        coded.tail,
    )
    body = (b"" if reference is None else _CRC.pack(reference)) + coded.payload
    return fields + _CRC.pack(crc32c(fields + body)) + body


def parse(data: bytes) -> Packet:
    """Check everything but the entropy-coded payload itself.

    Raises:
        TruncatedPacket: fewer bytes than the header needs or announces.
        UnsupportedVersion: a version other than 1.
        ChecksumError: bytes changed on the way.
        PacketError: not a packet, reserved bits set, or bytes left over.
    """
    if len(data) < HEADER_BYTES:
        if not data[:2] or not MAGIC.startswith(data[:2]):
            raise PacketError(
                f"not a packet: expected it to begin with {MAGIC!r}, got {data[:2]!r}"
            )
        raise TruncatedPacket(
            f"a packet has at least {HEADER_BYTES} bytes, got {len(data)}: resend"
        )
    magic, version, point, prefix, height, width, lanes, size, tail = _FIELDS.unpack_from(data)
    if magic != MAGIC:
        raise PacketError(f"not a packet: expected it to begin with {MAGIC!r}, got {magic!r}")
    if version != VERSION:
        raise UnsupportedVersion(
            f"bitstream version {version}; this decoder reads {VERSION}: update it"
        )
    start = HEADER_BYTES + (REFERENCE_BYTES if lanes & INTER else 0)
    expected = start + int.from_bytes(size, "little")
    if len(data) < expected:
        raise TruncatedPacket(f"the header announces {expected} bytes, got {len(data)}: resend")
    (checksum,) = _CRC.unpack_from(data, _FIELDS.size)
    if checksum != crc32c(data[: _FIELDS.size] + data[HEADER_BYTES:expected]):
        raise ChecksumError("CRC-32C differs: bytes changed on the way: resend")
    if len(data) > expected:
        raise PacketError(f"the header announces {expected} bytes, got {len(data)}")
    if lanes & ~INTER > MAX_LANES_LOG2:
        raise PacketError(
            f"lane field {lanes:#04x}: expected 0 to {MAX_LANES_LOG2}, reserved bits zero"
        )
    reference = _CRC.unpack_from(data, HEADER_BYTES)[0] if lanes & INTER else None
    lanes = 1 << (lanes & ~INTER)
    header = PacketHeader(point, prefix, height, width, lanes, tail, reference)
    return Packet(header, data[start:expected])
