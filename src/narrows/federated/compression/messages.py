"""The byte strings on the wire: a whole model, a difference of two versions, an update.

docs/updates.md has every byte. A string's checksum also covers its header, so that what is decoded
belongs to the run, the versions and the kind that are named there; sizes of tensors are never read
from a difference or an update, but known from the model that it belongs to.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import (
    ChecksumError,
    CorruptPayload,
    MissingReference,
    PacketError,
    TruncatedPacket,
    UnsupportedVersion,
)
from narrows.federated.compression.coding import Reader, decode_parts, encode_parts
from narrows.federated.compression.compressors import (
    Coded,
    Reals,
    approximation,
    parts_of,
    read_kind,
)
from narrows.federated.compression.contexts import Integers
from narrows.federated.compression.feedback import on_grid
from narrows.federated.compression.layers import Layout, exact_bytes
from narrows.federated.compression.model import Model
from narrows.kernels.coder import crc32c

MAGIC = b"NU"
VERSION = 1
WHOLE, DIFFERENCE, UPDATE = range(3)
_HEADER = struct.Struct("<2sBIII")  # magic, version << 4 | kind, run, from version, to version
_CHECKSUM = struct.Struct("<I")
_SIZE = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size
# What a whole model's string may announce: its own length limits what is allocated for it.
FEWEST_NUMBERS, MOST_A_BYTE = 1 << 16, 1 << 12


@dataclass(frozen=True)
class Header:
    """What a string is, without its content."""

    kind: int
    run: int
    before: int  # the version that a difference leaves, or that an update was trained from
    after: int  # the version that a difference leads to


def header_of(data: bytes) -> Header:
    """Check a string as a whole.

    Raises:
        TruncatedPacket: shorter than any.
        UnsupportedVersion: of a version that is not 1.
        ChecksumError: bytes changed on the way.
        PacketError: not such a string.
    """
    if len(data) < HEADER_BYTES:
        raise TruncatedPacket(f"at least {HEADER_BYTES} bytes are needed, {len(data)} came: resend")
    magic, kind, run, before, after = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise PacketError(f"expected {MAGIC!r} first, got {magic!r}: not a compressed update")
    if kind >> 4 != VERSION:
        raise UnsupportedVersion(
            f"version {kind >> 4} of updates, this end reads {VERSION}: update"
        )
    (checksum,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    if checksum != _checksum(data[: _HEADER.size], data[HEADER_BYTES:]):
        raise ChecksumError("CRC-32C differs: bytes changed on the way: resend")
    return Header(kind & 0xF, run, before, after)


def encode_whole(model: Model, run: int) -> bytes:
    """Version 0, with its layout: what a client that holds nothing needs first."""
    layout = model.layout.encode()
    parts = encode_parts([(base, _one_group(base)) for base in model.base])
    body = _SIZE.pack(len(layout)) + layout + parts + model.exact
    return _sealed(Header(WHOLE, run, 0, 0), body)


def decode_whole(data: bytes) -> Model:
    """Raises PacketError, or one of its kinds."""
    header = header_of(data)
    _expect(header, WHOLE, "a whole model")
    reader = Reader(data[HEADER_BYTES:])
    layout = Layout.decode(reader.take(_SIZE.unpack(reader.take(_SIZE.size))[0]))
    if sum(tensor.size for tensor in layout.tensors) > FEWEST_NUMBERS + MOST_A_BYTE * len(data):
        raise CorruptPayload(f"{len(data)} bytes are too few for the tensors they announce: resend")
    sizes = [np.zeros(tensor.size, np.uint8) for tensor in layout.coded]
    base, exact = decode_body(reader, sizes, layout)
    moved = tuple(np.zeros_like(b) for b in base)
    return Model(layout, 0, tuple(base), moved, exact)


def encode_difference(coded: list[Coded], before: Model, after: Model, run: int) -> bytes:
    """What leads from one model to another, as `feedback.steps_towards` found it."""
    header = Header(DIFFERENCE, run, before.version, after.version)
    return _sealed(header, _changes(coded, before) + after.exact)


def decode_difference(data: bytes, before: Model) -> Model:
    """The version it leads to. Raises MissingReference: it leaves another; or PacketError."""
    header = header_of(data)
    _expect(header, DIFFERENCE, "a difference")
    _expect_version(header, before.version)
    coded, exact = _read_changes(data, before)
    return before.stepped(header.after, on_grid(coded, before.layout), exact)


def encode_update(coded: list[Coded], exact: bytes, model: Model, run: int) -> bytes:
    """What training made of a model, as the compressor left it."""
    header = Header(UPDATE, run, model.version, model.version)
    return _sealed(header, _changes(coded, model) + exact)


def decode_update(data: bytes, model: Model) -> tuple[list[Reals], bytes]:
    """Flat changes of the coded tensors, and the exact tensors' bytes.

    Raises:
        MissingReference: it was trained from another version.
        PacketError: bytes that are no update of this model.
    """
    header = header_of(data)
    _expect(header, UPDATE, "an update")
    _expect_version(header, model.version)
    coded, exact = _read_changes(data, model)
    tensors = model.layout.coded
    changes = [approximation(c, tensor) for c, tensor in zip(coded, tensors, strict=True)]
    if not all(np.isfinite(change).all() for change in changes):
        raise CorruptPayload("an update with numbers that are not finite: resend")
    return changes, exact


def _changes(coded: list[Coded], model: Model) -> bytes:
    kinds = b"".join(one.head() for one in coded)
    parts = [
        part
        for one, tensor, labels in zip(coded, model.layout.coded, model.labels, strict=True)
        for part in parts_of(one, tensor, labels)
    ]
    return kinds + encode_parts(parts)


def _read_changes(data: bytes, model: Model) -> tuple[list[Coded], bytes]:
    reader, layout = Reader(data[HEADER_BYTES:]), model.layout
    kinds = [read_kind(reader, tensor) for tensor in layout.coded]
    labels = [
        part
        for kind, tensor, own in zip(kinds, layout.coded, model.labels, strict=True)
        for part in kind.labels(tensor, own)
    ]
    parts, exact = decode_body(reader, labels, layout)
    taken = iter(parts)
    coded = [Coded(k.rank, k.scales, tuple(next(taken) for _ in k.scales)) for k in kinds]
    return coded, exact


def decode_body(
    reader: Reader, labels: list[NDArray[np.uint8]], layout: Layout
) -> tuple[list[Integers], bytes]:
    """Coded parts and exact bytes, and nothing after them."""
    parts = decode_parts(reader, labels)
    exact = reader.rest()
    if len(exact) != exact_bytes(layout):
        raise CorruptPayload(
            f"{len(exact)} bytes after the coded tensors, expected {exact_bytes(layout)}: resend"
        )
    return parts, exact


def _expect(header: Header, kind: int, what: str) -> None:
    if header.kind != kind:
        raise PacketError(f"expected {what} (kind {kind}), got kind {header.kind}")


def _expect_version(header: Header, version: int) -> None:
    if header.before != version:
        raise MissingReference(
            f"a string for version {header.before} of the model, and version {version} is here: "
            "send the whole model"
        )


def _one_group(integers: Integers) -> NDArray[np.uint8]:
    return np.zeros(integers.size, np.uint8)


def _sealed(header: Header, body: bytes) -> bytes:
    kind = VERSION << 4 | header.kind
    fields = _HEADER.pack(MAGIC, kind, header.run, header.before, header.after)
    return fields + _CHECKSUM.pack(_checksum(fields, body)) + body


def _checksum(fields: bytes, body: bytes) -> int:
    return crc32c(fields + body)
