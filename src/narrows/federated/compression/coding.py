"""Integers to bytes and back: our entropy coder under tables that three bytes describe.

A part is a tensor's integers in groups (`contexts`). A group's table is two-sided geometric: the
mass of all that is not 0, and how fast it falls with the distance. Tables are made in integers, so
that all machines make the same. docs/updates.md has every byte.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from narrows.errors import CorruptPayload, TruncatedPacket
from narrows.federated.compression.contexts import Integers
from narrows.kernels.coder import Coded, TableArrays, decode_rows, encode_rows
from narrows.kernels.coder.arrays import TOTAL, fault_of_sizes

ZEROS, CODED, RAW = range(3)  # how a part is written
LARGEST = 255  # of a table's symbols; what is beyond is an escape
MOST = 0x7FFF  # of an integer that can be coded, after its shift
_TABLE = struct.Struct("<HB")
_STREAM = struct.Struct("<BHI")

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Table:
    """Of one group: 14-bit mass of what is not 0, and of 256 how much of the rest stops here."""

    mass: int
    stop: int


def encode_parts(parts: Sequence[tuple[Integers, Labels]]) -> bytes:
    """int32 (n,) and the group of each, several -> bytes."""
    head, symbols, counts, tables = bytearray(), [], [], []
    for integers, labels in parts:
        if not integers.any():
            head.append(ZEROS)
            continue
        shift = _shift(integers)
        shifted = integers >> shift
        largest = int(np.abs(shifted).max())
        if largest > MOST:
            head.append(RAW)
            head += integers.astype("<i4").tobytes()
            continue
        largest = min(largest, LARGEST)
        head += bytes((CODED, shift, largest))
        for group in range(int(labels.max()) + 1):
            row = shifted[labels == group].astype(np.int16)
            table = _fit(row, largest)
            head += _TABLE.pack(table.mass, table.stop)
            symbols.append(row)
            counts.append(len(row))
            tables.append((table, largest))
    return bytes(head) + _stream(symbols, counts, tables)


class Reader:
    """Bytes that are taken from the front. Raises TruncatedPacket when there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) < size:
            raise TruncatedPacket(f"{size} bytes were announced and {len(part)} came: resend")
        self._at += size
        return part

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)


def decode_parts(reader: Reader, labels: Sequence[Labels]) -> list[Integers]:
    """The inverse of `encode_parts`, for parts of these sizes and groups.

    Raises:
        TruncatedPacket: fewer bytes than announced.
        CorruptPayload: bytes that no encoder writes.
    """
    found: list[Integers] = [np.zeros(part.size, np.int32) for part in labels]
    coded, tables = [], []
    for index, part in enumerate(labels):
        mode = reader.take(1)[0]
        if mode == RAW:
            found[index] = np.frombuffer(reader.take(4 * part.size), "<i4").astype(np.int32)
        elif mode == CODED:
            shift, largest = reader.take(2)
            if shift > 30 or largest < 1:
                raise CorruptPayload(f"a shift of {shift}, symbols to {largest}: resend")
            number = int(part.max(initial=0)) + 1
            tables += [(_table(reader, largest), largest) for _ in range(number)]
            coded.append((index, shift, number))
        elif mode != ZEROS:
            raise CorruptPayload(f"parts are written in ways 0 to {RAW}, not {mode}: resend")
    if coded:
        _scatter(found, coded, labels, _symbols(reader, coded, labels, tables))
    return found


def _stream(symbols: list, counts: list[int], tables: list[tuple[Table, int]]) -> bytes:
    if not symbols:
        return b""
    arrays = _arrays(tuple(tables))
    payload, lanes, tail = encode_rows(np.concatenate(symbols), np.array(counts, np.uint64), arrays)
    return _STREAM.pack(lanes.bit_length() - 1, tail, len(payload)) + payload


def _symbols(
    reader: Reader,
    coded: list[tuple[int, int, int]],
    labels: Sequence[Labels],
    tables: list[tuple[Table, int]],
) -> list[Integers]:
    """The symbols of each table, in their order."""
    counts = np.concatenate([np.bincount(labels[i], minlength=n) for i, _, n in coded])
    lanes, tail, size = _STREAM.unpack(reader.take(_STREAM.size))
    stream: Coded = (reader.take(size), 1 << min(lanes, 16), tail)
    if fault := fault_of_sizes(size, int(counts.sum()), stream[1], tail):
        raise CorruptPayload(f"{fault}: resend")
    out, errors = decode_rows([stream], counts.astype(np.uint64), _arrays(tuple(tables)), 1)
    if errors[0] is not None:
        raise CorruptPayload(f"{errors[0]}: resend")
    return np.split(out[0].astype(np.int32), np.cumsum(counts)[:-1])


def _scatter(
    found: list[Integers],
    coded: list[tuple[int, int, int]],
    labels: Sequence[Labels],
    rows: list[Integers],
) -> None:
    taken = iter(rows)
    for index, shift, number in coded:
        for group in range(number):
            found[index][labels[index] == group] = next(taken).astype(np.int64) << shift


def _shift(integers: Integers) -> int:
    """Low bits that are 0 in all of them."""
    together = int(np.bitwise_or.reduce(integers))
    return (together & -together).bit_length() - 1


def _fit(row: NDArray[np.int16], largest: int) -> Table:
    """The table that suits these symbols."""
    magnitudes = np.abs(row.astype(np.int64))
    moving = int(np.count_nonzero(magnitudes))
    mass = round(TOTAL * moving / max(1, row.size))
    total = int(magnitudes.sum())
    stop = round(256 * moving / total) if total else 255
    return Table(_bounded(mass, largest), min(max(stop, 1), 255))


def _bounded(mass: int, largest: int) -> int:
    """Every symbol and the escape keep a codepoint."""
    return min(max(mass, 2 * largest), TOTAL - 2)


def _table(reader: Reader, largest: int) -> Table:
    mass, stop = _TABLE.unpack(reader.take(_TABLE.size))
    if mass != _bounded(mass, largest) or not stop:
        raise CorruptPayload(f"a table of mass {mass} and stop {stop}: resend")
    return Table(mass, stop)


@lru_cache(4096)
def _cdf(table: Table, largest: int) -> NDArray[np.uint16]:
    """Frequencies of -largest..largest and of the escape, summed up."""
    left, side = table.mass // 2, []
    for remaining in range(largest - 1, 0, -1):
        frequency = min(max(1, left * table.stop >> 8), left - remaining)
        side.append(frequency)
        left -= frequency
    side.append(left)
    zero = TOTAL - 1 - 2 * sum(side)
    return np.cumsum([0, *side[::-1], zero, *side, 1]).astype(np.uint16)


def _arrays(tables: tuple[tuple[Table, int], ...]) -> TableArrays:
    largest = np.array([largest for _, largest in tables], np.int32)
    return TableArrays(-largest, 2 * largest + 1, np.concatenate([_cdf(*t) for t in tables]))
