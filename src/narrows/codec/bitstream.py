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
MAX_PAYLOAD_BYTES = (1 << 24) - 1
MAX_PACKET_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES
MAX_LANES_LOG2 = 6

_FIELDS = struct.Struct("<2sBB4sHHB3sH")  # all of the header but the checksum
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class PacketHeader:
    """What a packet says about itself."""

    point: int  # operating point
    digest_prefix: bytes  # first 4 bytes of the bundle's digest
    height: int  # of the latent
    width: int
    lanes: int  # a power of two, at most 64
    tail: int  # symbols coded by lane 0 alone


@dataclass(frozen=True)
class Packet:
    """A packet whose checksum held; its payload is not yet decoded."""

    header: PacketHeader
    payload: bytes


def serialise(
    point: int, digest_prefix: bytes, height: int, width: int, coded: EncodedPayload
) -> bytes:
    """The packet's bytes.

    Raises:
        ShapeError: a latent over 65,535 on a side, or a payload over 16 MiB.
    """
    size = len(coded.payload)
    if max(height, width) > 0xFFFF or size > MAX_PAYLOAD_BYTES:
        raise ShapeError(f"a latent of {height} x {width} and {size} bytes does not fit a packet")
    lanes = coded.lanes.bit_length() - 1
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
    return fields + _CHECKSUM.pack(crc32c(fields + coded.payload)) + coded.payload


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
    expected = HEADER_BYTES + int.from_bytes(size, "little")
    if len(data) < expected:
        raise TruncatedPacket(f"the header announces {expected} bytes, got {len(data)}: resend")
    payload = data[HEADER_BYTES:expected]
    (checksum,) = _CHECKSUM.unpack_from(data, _FIELDS.size)
    if checksum != crc32c(data[: _FIELDS.size] + payload):
        raise ChecksumError("CRC-32C differs: bytes changed on the way: resend")
    if len(data) > expected:
        raise PacketError(f"the header announces {expected} bytes, got {len(data)}")
    if lanes > MAX_LANES_LOG2:
        raise PacketError(
            f"lane field {lanes:#04x}: expected 0 to {MAX_LANES_LOG2}, reserved bits zero"
        )
    return Packet(PacketHeader(point, prefix, height, width, 1 << lanes, tail), payload)
