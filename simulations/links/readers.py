"""Traces from files: mahimahi's packet times, and a CSV of seconds, kbit/s and milliseconds.

Both are read whole, line by line, and refused by the line that does not fit.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from narrows.errors import ConfigError
from narrows.simulations.links.trace import MAX_SEGMENTS, Trace

PACKET_BITS = 1500 * 8  # of one line of a mahimahi trace
MAX_FILE_BYTES = 64 << 20
MS = 1_000_000  # ns
CSV_COLUMNS = ("seconds", "kbit/s", "ms")


def read_trace(path: Path, delay_ms: float = 0.0) -> Trace:
    """A `.csv`, or else mahimahi's format, to which `delay_ms` adds the delay it does not tell.

    Raises:
        ConfigError: not readable, or not a trace; the message names the line.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: over {MAX_FILE_BYTES >> 20} MiB: not a trace")
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a readable trace: {error}") from None
    if len(lines) > MAX_SEGMENTS:
        raise ConfigError(f"{path}: {len(lines):,} lines: expected at most {MAX_SEGMENTS:,}")
    if path.suffix == ".csv":
        return parse_csv(lines, str(path))
    return parse_mahimahi(lines, str(path), delay_ms)


def parse_mahimahi(lines: Sequence[str], origin: str, delay_ms: float = 0.0) -> Trace:
    """Each line is a millisecond in which one packet of 1,500 bytes may pass; the last one ends it.

    The packets of a millisecond are spread over it (Netravali et al., Mahimahi, USENIX ATC 2015).
    """
    counts: dict[int, int] = {}
    last = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not line.strip().isdigit() or int(line) < last:
            raise ConfigError(f"{origin}:{number}: expected ascending milliseconds, got {line!r}")
        last = int(line)
        counts[max(1, last)] = counts.get(max(1, last), 0) + 1
    if not counts:
        raise ConfigError(f"{origin}: expected a line for every packet, found none")
    durations, rates, before = list[int](), list[int](), 0
    for at, packets in counts.items():  # the millisecond that ends at `at`
        if at - 1 > before:
            durations.append((at - 1 - before) * MS)
            rates.append(0)
        durations.append(MS)
        rates.append(packets * PACKET_BITS * 1000)
        before = at
    return Trace(durations, rates, [round(delay_ms * MS)] * len(durations))


def parse_csv(lines: Sequence[str], origin: str) -> Trace:
    """Rows `seconds,kbit/s,ms[,outage]`: from that instant on, that rate and one-way delay.

    `outage` other than 0, or a rate of 0: nothing passes. The last row lasts as long as the one
    before it, or a second where it is the only one.
    """
    if not lines or tuple(c.strip() for c in lines[0].split(","))[:3] != CSV_COLUMNS:
        raise ConfigError(f"{origin}:1: expected the header seconds,kbit/s,ms")
    rows = [
        _row(line, f"{origin}:{number}") for number, line in enumerate(lines[1:], 2) if line.strip()
    ]
    if not rows or rows[0][0] != 0:
        raise ConfigError(f"{origin}: expected rows, the first at second 0")
    starts = [row[0] for row in rows]
    durations = [end - start for start, end in itertools.pairwise(starts)]
    durations.append(durations[-1] if durations else 1000 * MS)
    return Trace(durations, [row[1] for row in rows], [row[2] for row in rows])


def _row(line: str, where: str) -> tuple[int, int, int]:
    """The instant in ns, bits a second, and the delay in ns."""
    cells = line.split(",")
    try:
        seconds, kbits, ms, *rest = (float(cell) for cell in cells)
        outage = bool(rest and rest[0])
        return round(seconds * 1000 * MS), 0 if outage else round(kbits * 1000), round(ms * MS)
    except (ValueError, OverflowError):
        raise ConfigError(f"{where}: expected seconds,kbit/s,ms[,outage], got {line!r}") from None
