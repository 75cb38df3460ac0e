"""Activations, outputs and gradients to bytes and back: rounded, then entropy-coded.

A channel is rounded around its mean, in steps of a fraction of its standard deviation. Symbols are
coded with integer tables counted on what is sent, one a channel, or one for several neighbours
where a channel has too few numbers to pay for a table. Means, steps and tables travel with the
symbols; `narrows.codec.strings` seals all, so changed bytes are an error and never other numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from narrows.codec.strings import fingerprint, seal, unseal
from narrows.codec.tables import CodingTables
from narrows.errors import CorruptPayload, PacketError, ShapeError
from narrows.kernels import coder
from narrows.kernels.coder import TableArrays

Values = NDArray[np.float32]  # (n, channels, positions)
Symbols = NDArray[np.int16]

LIMIT = 0x7FFF
PER_TABLE = 4096  # symbols that a table is counted on, at least
LEAST_DEVIATION = 1e-3  # of a channel's magnitude: a constant one is not blown up
# What a stranger's header may make us allocate: 2**26 symbols are 128 MiB.
MOST_SYMBOLS = 1 << 26


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    centres: bytes
    steps: bytes
    offsets: bytes
    lengths: bytes
    cdf: bytes


@dataclass(frozen=True, eq=False)
class Coding:
    """Centres and steps, float32 (channels,), and tables for equal runs of channels."""

    centres: NDArray[np.float32]
    steps: NDArray[np.float32]
    tables: CodingTables

    @classmethod
    def fit(cls, values: Values, step: float) -> "Coding":
        """For float32 (n, channels, positions), with steps of so many standard deviations.

        Raises:
            ShapeError: no values, or some that are not finite.
        """
        if not values.size or not np.isfinite(values).all():
            raise ShapeError(
                f"values {values.shape} that are none or not finite cannot be coded: training has "
                "diverged, lower its learning rate"
            )
        deviation = values.std((0, 2), dtype=np.float64)
        magnitude = np.sqrt(np.square(values, dtype=np.float64).mean((0, 2)))
        steps = step * np.maximum(deviation, LEAST_DEVIATION * magnitude)
        centres = values.mean((0, 2), dtype=np.float64).astype(np.float32)
        furthest = np.abs(values - centres[:, None]).max((0, 2))
        steps = np.maximum(steps, furthest / LIMIT)  # nothing is cut off
        steps = np.maximum(steps, np.finfo(np.float32).tiny).astype(np.float32)
        rows = _rounded(values, centres, steps)
        alike = -(-PER_TABLE // rows.shape[1])
        together = _together(len(rows), -(-len(rows) // alike))
        groups = [rows[i : i + together] for i in range(0, len(rows), together)]
        lowest = [int(group.min()) for group in groups]
        counts = [
            np.bincount((group - np.int32(low)).reshape(-1))
            for group, low in zip(groups, lowest, strict=True)
        ]
        return cls(centres, steps, CodingTables.from_pmfs(counts, lowest))

    def encode(self, values: Values) -> bytes:
        """float32 (n, channels, positions) -> a sealed string.

        Raises:
            ShapeError: more than a string holds.
        """
        rows = _rounded(values, self.centres, self.steps)
        counts = self._counts(rows.shape[1])
        coded = coder.encode_rows(rows.reshape(-1), counts, self.tables.arrays)
        return seal(coded, counts, self._key())

    def decode(self, strings: Sequence[bytes], n: int, positions: int) -> Values:
        """Strings of `encode`, each of n samples -> float32 (strings * n, channels, positions).

        Raises:
            PacketError: bytes that are no such strings, by name.
        """
        channels, each = len(self.steps), n * positions
        if len(strings) * channels * each > MOST_SYMBOLS:
            raise ShapeError(f"more than {MOST_SYMBOLS} numbers in a message: send fewer pictures")
        counts, key = self._counts(each), self._key()
        packets = [(p.payload, p.lanes, p.tail) for p in (unseal(s, counts, key) for s in strings)]
        symbols, errors = coder.decode_rows(packets, counts, self.tables.arrays, 1)
        for number, error in enumerate(errors):
            if error is not None:
                raise CorruptPayload(f"string {number} does not decode: {error}: resend")
        values = symbols.reshape(len(strings), channels, n, positions) * self.steps[:, None, None]
        values += self.centres[:, None, None]
        ordered = values.transpose(0, 2, 1, 3).reshape(-1, channels, positions)
        return np.ascontiguousarray(ordered, np.float32)

    def to_bytes(self) -> bytes:
        arrays = self.tables.arrays
        told = _Told(
            _bytes(self.centres),
            _bytes(self.steps), arrays.offsets.astype("<i4").tobytes(),
            arrays.lengths.astype("<i4").tobytes(), arrays.cdf.astype("<u2").tobytes(),
        )  # fmt: skip
        return msgspec.msgpack.encode(told)

    @classmethod
    def from_bytes(cls, data: bytes, channels: int) -> "Coding":
        """What `to_bytes` wrote, for so many channels.

        Raises:
            PacketError: bytes that are no coding of so many channels.
        """
        try:
            told = msgspec.msgpack.decode(data, type=_Told)
            centres, steps = (
                np.frombuffer(data, "<f4").astype(np.float32) for data in (told.centres, told.steps)
            )
            tables = TableArrays(
                np.frombuffer(told.offsets, "<i4").astype(np.int32),
                np.frombuffer(told.lengths, "<i4").astype(np.int32),
                np.frombuffer(told.cdf, "<u2").astype(np.uint16),
            )
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            raise PacketError(f"no tables of this coder: {error}: resend") from None
        if not len(centres) == len(steps) == channels:
            raise ShapeError(f"expected {channels} centres and steps, got {len(steps)}")
        if not (np.isfinite(centres) & np.isfinite(steps) & (steps > 0)).all():
            raise ShapeError("centres must be finite, and steps above 0: resend")
        if -(-channels // _together(channels, tables.channels)) != tables.channels:
            raise ShapeError(f"{tables.channels} tables do not fit {channels} channels")
        return cls(centres, steps, CodingTables(tables))

    def _key(self) -> bytes:
        """What a string's checksum covers beside its own bytes."""
        return fingerprint(self.tables) + _bytes(self.centres) + _bytes(self.steps)

    def _counts(self, each: int) -> NDArray[np.uint64]:
        """Symbols of each table, where a channel has `each`."""
        channels, tables = len(self.steps), self.tables.channels
        together = _together(channels, tables)
        counts = np.full(tables, together, np.uint64)
        counts[-1] = channels - together * (tables - 1)
        return counts * np.uint64(each)


def code(values: Values, step: float) -> tuple[bytes, bytes]:
    """float32 (n, channels, positions) -> a coding of its own, and a string. Raises ShapeError."""
    coding = Coding.fit(values, step)
    return coding.to_bytes(), coding.encode(values)


def decoded(told: tuple[bytes, bytes], shape: tuple[int, int, int]) -> Values:
    """The inverse of `code`, of a known shape (n, channels, positions). Raises PacketError."""
    n, channels, positions = shape
    return Coding.from_bytes(told[0], channels).decode([told[1]], n, positions)


def _together(channels: int, tables: int) -> int:
    """Neighbours that share a table."""
    return -(-channels // tables)


def _bytes(values: NDArray[np.float32]) -> bytes:
    return values.astype("<f4").tobytes()


def _rounded(values: Values, centres: NDArray[np.float32], steps: NDArray[np.float32]) -> Symbols:
    """(n, channels, positions) -> int16 (channels, n * positions)."""
    rows = values.transpose(1, 0, 2).reshape(len(steps), -1) - centres[:, None]
    return np.clip(np.rint(rows / steps[:, None]), -LIMIT, LIMIT).astype(np.int16)
