"""The coder in plain Python: what the native one must equal, byte for byte.

Range asymmetric numeral systems (Duda, arXiv:1311.2540) with interleaved states (Giesen,
arXiv:1402.3392). Order, lanes, tail and parked words are in docs/bitstream.md.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from narrows.kernels.coder.arrays import (
    LOWER,
    MAX_TAIL,
    PRECISION,
    TOTAL,
    CorruptStream,
    EncodedPayload,
    TableArrays,
    fault_of_sizes,
)

COST_SCALE = 1 << 16
SYMBOL_LIMIT = 0x7FFF
SAMPLE_FROM = 4096  # symbols
LANE_LIMITS = ((1 << 10, 2), (4 << 10, 4), (16 << 10, 8), (32 << 10, 16))  # bytes, lanes
Interval = tuple[int, int]  # frequency and start, out of TOTAL


def push(state: int, interval: Interval, words: list[int]) -> int:
    """One encoding step; words leave in the reverse of the order the decoder reads them."""
    frequency, start = interval
    if state >= frequency << (32 - PRECISION):
        words.append(state & 0xFFFF)
        state >>= 16
    return (state // frequency << PRECISION) + state % frequency + start


def pop(state: int, interval: Interval) -> int:
    """The inverse of `push`, before renormalisation."""
    frequency, start = interval
    return frequency * (state >> PRECISION) + (state & (TOTAL - 1)) - start


def encode(
    symbols: NDArray[np.int16], counts: NDArray[np.uint64], tables: TableArrays, lanes: int
) -> EncodedPayload:
    """Rows of symbols -> payload; the lane count falls to 1 where the frame is too small."""
    lanes = lanes or _lanes_for(symbols, counts, tables)
    intervals = [_intervals(tables, c) for c in range(tables.channels)]
    scan = list(zip(_places(counts), symbols.tolist(), strict=True))
    state, words = 1, []  # type: int, list[int]
    for (channel, _), value in reversed(scan):
        if not _in_table(value, tables, channel):
            state = _push_escape(state, value, tables, channel, words)
    remaining = len(scan)
    while remaining and (lanes == 1 or len(words) < lanes - 1):
        if lanes > 1 and len(scan) - remaining == MAX_TAIL:
            return encode(symbols, counts, tables, 1)
        remaining -= 1
        (channel, _), value = scan[remaining]
        state = push(state, _interval(intervals[channel], value, tables, channel), words)
    if len(words) < lanes - 1 or lanes == 1:
        return EncodedPayload(_pack([state], words), 1, 0)
    parked, words = words[: lanes - 1], words[lanes - 1 :]
    states = [state, *(LOWER + word for word in parked)]
    tail = len(scan) - remaining
    for (channel, index), value in reversed(scan[:remaining]):
        lane = index % lanes
        states[lane] = push(
            states[lane], _interval(intervals[channel], value, tables, channel), words
        )
    return EncodedPayload(_pack(states, words), lanes, tail)


def decode(
    payload: bytes, counts: NDArray[np.uint64], tables: TableArrays, lanes: int, tail: int
) -> NDArray[np.int16]:
    """Payload -> int16 (n,). Raises CorruptStream."""
    places = _places(counts)
    if fault := fault_of_sizes(len(payload), len(places), lanes, tail):
        raise CorruptStream(fault)
    states = np.frombuffer(payload, "<u4", lanes).tolist()
    stream = iter(np.frombuffer(payload, "<u2", offset=4 * lanes).tolist())
    if lanes > 1 and min(states) < LOWER:
        raise CorruptStream("a lane starts below the coder's range")
    out: list[int] = []
    escapes: list[int] = []
    body = len(places) - tail if lanes > 1 else 0
    for channel, index in places[:body]:
        lane = index % lanes
        states[lane] = _take(states[lane], tables, channel, out, escapes)
        if states[lane] < LOWER:
            states[lane] = states[lane] << 16 | _next(stream)
    if any(not LOWER <= s < 2 * LOWER for s in states[1:]):
        raise CorruptStream("a lane does not end where it must")
    parked = [s - LOWER for s in states[:0:-1]]
    source = _Words([*stream, *parked])
    state = states[0]
    for channel, _ in places[body:]:
        state = source.refill(_take(state, tables, channel, out, escapes))
    for position in escapes:
        state, out[position] = _pop_escape(state, tables, places[position][0], source)
    if state != 1 or source.left:
        raise CorruptStream("symbols end before the payload does")
    return np.array(out, np.int16)


def quantise(
    latent: NDArray[np.float32], gain: NDArray[np.float32], median: NDArray[np.float32]
) -> NDArray[np.int16]:
    """float32 (C, H, W) -> int16 (C, H, W): round(latent * gain - median), half to even.

    Within +-32767; not-a-number becomes the lowest.
    """
    scaled = latent * gain[:, None, None]
    scaled -= median[:, None, None]
    np.fmin(np.fmax(scaled, -SYMBOL_LIMIT, out=scaled), SYMBOL_LIMIT, out=scaled)
    return np.rint(scaled, out=scaled).astype(np.int16)


def dequantise(
    symbols: NDArray[np.int16], inverse_gain: NDArray[np.float32], median: NDArray[np.float32]
) -> NDArray[np.float32]:
    """int16 (..., C, H, W) -> float32, same shape: (symbols + median) * inverse gain."""
    restored = symbols.astype(np.float32)
    restored += median[:, None, None]
    restored *= inverse_gain[:, None, None]
    return restored


def cost_bits(symbols: NDArray[np.int16], counts: NDArray[np.uint64], tables: TableArrays) -> float:
    """The tables' ideal code length of rows of symbols, escapes included, in bits."""
    cost = 0  # in 2^-16 bits: a sum of integers is the same in any order
    for channel, row in enumerate(np.split(symbols, np.cumsum(counts)[:-1].astype(np.int64))):
        intervals = _intervals(tables, channel)
        values, times = np.unique(row, return_counts=True)
        for value, count in zip(values.tolist(), times.tolist(), strict=True):
            cost += count * _entry_cost(_interval(intervals, value, tables, channel))
            if not _in_table(value, tables, channel):
                fields = _escape_fields(value, tables, channel)
                cost += count * COST_SCALE * sum(width for width, _ in fields)
    return cost / COST_SCALE


def _lanes_for(symbols: NDArray[np.int16], counts: NDArray[np.uint64], tables: TableArrays) -> int:
    """By the size to come: each lane costs a byte and lets kernels go faster. A large frame's is
    estimated from every 16th symbol, the last first."""
    intervals = [_intervals(tables, c) for c in range(tables.channels)]
    step = 1 if len(symbols) < SAMPLE_FROM else 16
    scan = zip(_places(counts)[::-step], symbols[::-1][::step].tolist(), strict=True)
    cost = sum(_entry_cost(_interval(intervals[c], v, tables, c)) for (c, _), v in scan)
    payload_bytes = cost * step / COST_SCALE / 8
    return next((n for limit, n in LANE_LIMITS if payload_bytes < limit), 32)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC_TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _crc_table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_CRC_TABLE = tuple(_crc_table())


def _places(counts: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Of every symbol in order: its channel, and its index there."""
    return [(c, i) for c, count in enumerate(counts.tolist()) for i in range(count)]


def _in_table(value: int, tables: TableArrays, channel: int) -> bool:
    return 0 <= value - int(tables.offsets[channel]) < int(tables.lengths[channel])


def _entry_cost(interval: Interval) -> int:
    return round((PRECISION - math.log2(interval[0])) * COST_SCALE)


def _intervals(tables: TableArrays, channel: int) -> list[Interval]:
    start, end = tables.starts()[channel : channel + 2]
    cdf = tables.cdf[start:end].tolist()
    return [(b - a, a) for a, b in pairwise(cdf)]


def _interval(intervals: list[Interval], value: int, tables: TableArrays, channel: int) -> Interval:
    index = value - int(tables.offsets[channel])
    return intervals[index] if 0 <= index < len(intervals) - 1 else intervals[-1]


def _take(state: int, tables: TableArrays, channel: int, out: list[int], escapes: list[int]) -> int:
    """Decode one symbol onto `out`; an escape is remembered and read later."""
    start, end = tables.starts()[channel : channel + 2]
    cdf = tables.cdf[start:end]
    index = int(np.searchsorted(cdf, state & (TOTAL - 1), side="right")) - 1
    if index == int(tables.lengths[channel]):
        escapes.append(len(out))
    out.append(index + int(tables.offsets[channel]))
    return pop(state, (int(cdf[index + 1]) - int(cdf[index]), int(cdf[index])))


def _next(stream: Iterator[int]) -> int:
    word = next(stream, None)
    if word is None:
        raise CorruptStream("the payload ends before its symbols do")
    return word


class _Words:
    """The words lane 0 reads at the end: the stream's rest, then the parked ones."""

    def __init__(self, words: list[int]):
        self._words = words
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._words) - self._position

    def refill(self, state: int) -> int:
        if state >= LOWER or not self.left:
            return state
        self._position += 1
        return state << 16 | self._words[self._position - 1]


def _escape_fields(value: int, tables: TableArrays, channel: int) -> list[tuple[int, int]]:
    """(bits, number) in decoding order: Elias gamma of the distance beyond the table; the side."""
    low = int(tables.offsets[channel])
    high = low + int(tables.lengths[channel])
    below = value < low
    distance = (low - value) if below else (value - high + 1)
    bits = distance.bit_length() - 1
    mantissa = distance - (1 << bits)
    if bits <= 8:
        return [(5, bits), (1, int(below)), (bits, mantissa)]
    return [(5, bits), (1, int(below)), (bits - 8, mantissa >> 8), (8, mantissa & 0xFF)]


def _push_escape(
    state: int, value: int, tables: TableArrays, channel: int, words: list[int]
) -> int:
    for width, number in reversed(_escape_fields(value, tables, channel)):
        if width:
            state = push(state, (1 << PRECISION - width, number << PRECISION - width), words)
    return state


def _pop_escape(state: int, tables: TableArrays, channel: int, source: _Words) -> tuple[int, int]:
    state, bits = _pop_bits(state, 5, source)
    state, below = _pop_bits(state, 1, source)
    if bits > 16:
        raise CorruptStream(f"an escape of {bits} bits, at most 16 are possible")
    state, high = _pop_bits(state, bits - 8 if bits > 8 else bits, source)
    state, low = _pop_bits(state, 8 if bits > 8 else 0, source)
    distance = (1 << bits) + ((high << 8 | low) if bits > 8 else high)
    offset, length = int(tables.offsets[channel]), int(tables.lengths[channel])
    value = offset - distance if below else offset + length + distance - 1
    if not -0x8000 <= value <= 0x7FFF:
        raise CorruptStream(f"an escaped symbol of {value}, beyond int16")
    return state, value


def _pop_bits(state: int, width: int, source: _Words) -> tuple[int, int]:
    if not width:
        return state, 0
    number = (state & (TOTAL - 1)) >> PRECISION - width
    state = pop(state, (1 << PRECISION - width, number << PRECISION - width))
    return source.refill(state), number


def _pack(states: list[int], words: list[int]) -> bytes:
    return np.array(states, "<u4").tobytes() + np.array(words[::-1], "<u2").tobytes()
