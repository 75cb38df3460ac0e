import pytest

from narrows.codec import bitstream
from narrows.errors import (
    ChecksumError,
    PacketError,
    ShapeError,
    TruncatedPacket,
    UnsupportedVersion,
)
from narrows.kernels.coder import EncodedPayload, crc32c

CODED = EncodedPayload(b"\x01\x00\x00\x00\x07\x00", 1, 0)


def packet(**changes: bytes) -> bytes:
    """A valid packet with some header bytes replaced and the checksum made right again."""
    data = bytearray(bitstream.serialise(3, b"\xaa\xbb\xcc\xdd", 28, 40, CODED))
    for place, value in changes.items():
        start = int(place.removeprefix("at"))
        data[start : start + len(value)] = value
    data[18:22] = crc32c(bytes(data[:18] + data[22:])).to_bytes(4, "little")
    return bytes(data)


def test_the_header_is_what_the_document_says():
    data = packet()
    assert data[:18].hex(" ") == "4e 57 01 03 aa bb cc dd 1c 00 28 00 00 06 00 00 00 00"
    assert data[22:] == CODED.payload


def test_a_packet_parses_to_what_was_serialised():
    header = bitstream.parse(packet()).header
    assert header == bitstream.PacketHeader(3, b"\xaa\xbb\xcc\xdd", 28, 40, 1, 0)


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"", PacketError, "not a packet"),
        (b"hello", PacketError, "not a packet: expected it to begin with b'NW', got b'he'"),
        (b"NW\x01", TruncatedPacket, "at least 22 bytes, got 3"),
        (packet()[:-1], TruncatedPacket, "announces 28 bytes, got 27"),
        (packet(at2=b"\x02"), UnsupportedVersion, "version 2; this decoder reads 1"),
        (packet()[:-1] + b"\xff", ChecksumError, "CRC-32C"),
        (packet() + b"x", PacketError, "announces 28 bytes, got 29"),
        (packet(at12=b"\x10"), PacketError, "reserved bits zero"),
        (packet(at12=b"\x07"), PacketError, "lane field"),
    ],
)
def test_each_fault_has_its_own_error(data, kind, said):
    with pytest.raises(kind, match=said) as caught:
        bitstream.parse(data)
    assert type(caught.value) is kind


def test_what_does_not_fit_the_header_is_refused():
    with pytest.raises(ShapeError):
        bitstream.serialise(0, b"abcd", 70_000, 1, CODED)
    with pytest.raises(ShapeError):
        bitstream.serialise(0, b"abcd", 1, 1, EncodedPayload(bytes(1 << 24), 1, 0))
