"""Service times of a real server on this machine, from the stamps that every answer carries.

Frames go over real sockets from a process of their own: one at a time, as a free replica has them;
in closed loops of growing width, whose batches have every size up to the largest; and at random
moments from several devices, as a fleet sends them. A batch's frames share one duration, so a batch
counts once. Pictures, which the whole network answers, come in closed loops.
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import psutil

from narrows.codec.manifest import Manifest
from narrows.errors import LinkError
from narrows.simulations.bench.load import Request
from narrows.simulations.bench.race import machine
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.planning.device_times import encode_ms, head_ms, whole_ms
from narrows.simulations.planning.targets import Served, Target, target_server

WIDTHS = (2, 4, 8, 16, 32, 48)  # frames in flight; up to three of the largest batch
PICTURE_WIDTHS = (2, 8, 48)  # fewer: each is a process that has to start
KEPT = 400  # samples of a kind in the file
ROUNDS = 3
PICTURES = 0.4  # of the time for packets: pictures beside them
OPEN_LOADS, OPEN_DEVICES = (0.3, 0.5, 0.7), 8  # of what closed loops reached: random moments
MANY = 20  # batches of a size under random arrivals, that closed loops have no say beside
MOST_RANKS = 5000  # in the file

Row = Sequence[int]  # STAMPS of one answer


def load_on(target: Target, **asked: Any) -> dict[str, Any]:
    """A load process run to its end; its tally, with `stamps`. Raises LinkError when it fails."""
    usual = {"window": 1, "rate": 0.0, "deadline_ms": 0, "seed": 0, "keep": True}
    sent = target.pictures if asked.get("pictures") else target.packets
    request = Request(target.address, str(sent), **usual | asked)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as told:
        json.dump(asdict(request), told)
        told.flush()
        command = [sys.executable, "-m", "narrows.simulations.bench.load", told.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LinkError(f"the load on {target.address} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@dataclass
class Stamps:
    """Answers' stamps of several loads, as they come."""

    alone: list[Row] = field(default_factory=list)
    closed: list[Row] = field(default_factory=list)
    open: list[Row] = field(default_factory=list)
    loop_s: float = 0.0
    pictures: list[Row] = field(default_factory=list)

    def measure(self, target: Target, seconds: float, seed: int) -> None:
        """Add a round: a tenth of the time alone, a third in closed loops, the rest at random."""
        tally = load_on(target, scenario="single", seconds=seconds / 10, streams=1)
        self.alone += tally["stamps"]
        before_s, most = _loop_s(target.pids), 0.0
        for tally in _closed_loops(target, seconds / 3, WIDTHS):
            self.closed += tally["stamps"]
            most = max(most, tally["answered"] / (tally["ended"] - tally["began"]))
        self.loop_s += _loop_s(target.pids) - before_s
        for number, load in enumerate(OPEN_LOADS):
            self.open += load_on(
                target, scenario="server", seconds=0.55 * seconds / len(OPEN_LOADS),
                streams=OPEN_DEVICES, rate=load * most, seed=len(OPEN_LOADS) * seed + number,
            )["stamps"]  # fmt: skip

    def measure_pictures(self, target: Target, seconds: float) -> None:
        """Add batches of pictures of every size."""
        for tally in _closed_loops(target, seconds, PICTURE_WIDTHS, pictures=True):
            self.pictures += tally["stamps"]

    def add(self, more: "Stamps") -> None:
        """Another measurement's, behind these."""
        self.alone += more.alone
        self.closed += more.closed
        self.open += more.open
        self.loop_s += more.loop_s
        self.pictures += more.pictures

    def times(self, served: Served) -> ServiceTimes:
        """What they say of the server's parts. Raises LinkError where nothing was answered."""
        if not (self.alone and self.closed and self.open):
            raise LinkError("the server answered no frame: no service times were measured")
        rows = np.array(self.alone + self.closed + self.open, np.float64)
        open_rows = np.array(self.open, np.float64)
        idle, busy = _arrivals(open_rows)
        manifest = Manifest.load(served.bundle)
        return ServiceTimes(
            bundle=manifest.digest,
            machine=machine(), date=date.today().isoformat(), device=_device(served),
            threads=served.threads, max_batch=served.max_batch,
            batch_ms=_as_met(rows, open_rows), ranks=_ranks(open_rows), answer_ms=_answers(rows),
            handover_ms=_handovers(rows, served.max_batch),
            idle_ms=idle, busy_ms=busy,
            loop_ms=1e3 * self.loop_s / len(self.closed),
            head_ms=head_ms(served.bundle), whole_ms=whole_ms(served.bundle),
            encode_ms=encode_ms(manifest.input.short_side),
            picture_batch_ms=_batches(np.array(self.pictures, np.float64)),
        )  # fmt: skip


def calibrate(served: Served, seconds: float, step: Callable[[], None]) -> ServiceTimes:
    """Start a replica, measure it in ROUNDS rounds; `step` after each. Raises LinkError."""
    stamps = Stamps()
    with target_server(served) as target:
        for seed in range(ROUNDS):
            stamps.measure(target, seconds / ROUNDS, seed)
            if served.pacing is None:
                stamps.measure_pictures(target, seconds / ROUNDS * PICTURES)
            step()
    return stamps.times(served)


def _closed_loops(
    target: Target, seconds: float, widths: Sequence[int], pictures: bool = False
) -> Iterator[dict[str, Any]]:
    """Tallies of loops of growing width, up to three of the largest batch."""
    useful = [width for width in widths if width <= 3 * target.max_batch]
    for width in useful:
        yield load_on(
            target, scenario="offline", seconds=seconds / len(useful), streams=width,
            pictures=pictures,
        )  # fmt: skip


def _device(served: Served) -> str:
    """Where the tail runs."""
    if served.pacing is not None:
        return "paced"
    from narrows.models.cores import find_device

    return find_device("auto").type


def _as_met(rows: np.ndarray, open_rows: np.ndarray) -> dict[int, tuple[float, ...]]:
    """Batches by size: random arrivals' where there are enough, for loads crowd the processors."""
    enough = {size: ms for size, ms in _batches(open_rows).items() if len(ms) >= MANY}
    return _batches(rows) | enough


def _ranks(rows: np.ndarray) -> tuple[float, ...]:
    """rows (answers, STAMPS) -> each batch's place among those of its size, in order of time."""
    found = {int(row[1] + row[2]): (int(row[6]), row[3]) for row in rows}
    batches = [found[start] for start in sorted(found)]
    took: dict[int, list[float]] = defaultdict(list)
    for size, ns in batches:
        took[size].append(ns)
    ascending = {size: np.sort(each) for size, each in took.items()}
    ranks = [
        np.searchsorted(ascending[size], ns) / max(1, len(ascending[size]) - 1)
        for size, ns in batches
    ]
    return tuple(map(float, ranks[-MOST_RANKS:]))


def _batches(rows: np.ndarray) -> dict[int, tuple[float, ...]]:
    """rows (answers, STAMPS) -> durations of batches by their size; every batch once."""
    if not len(rows):
        return {}
    started = rows[:, 1] + rows[:, 2]  # received + queued: the same moment for a whole batch
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for start, row in zip(started, rows, strict=True):
        found[int(row[6])][int(start)] = row[3] / 1e6
    return {size: _thinned(list(one.values())) for size, one in found.items()}


def _handovers(rows: np.ndarray, full: int) -> tuple[float, ...]:
    """From one batch's end to the start of a full one that waited; others may wait by rule."""
    batches: dict[int, tuple[int, int, int]] = {}  # start -> end, frames, the last one's receipt
    for _, received, queued, served, _, _, frames in rows.astype(np.int64).tolist():
        start = received + queued
        latest = max(received, batches[start][2]) if start in batches else received
        batches[start] = (start + served, frames, latest)
    pairs = pairwise(sorted(batches.items()))
    gaps = [
        (start - end) / 1e6
        for (_, (end, _, _)), (start, (_, frames, latest)) in pairs
        if frames == full and latest < end
    ]
    return _thinned(gaps) if gaps else (0.0,)


def _arrivals(rows: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """rows -> from due to received, of frames that came to a free replica and to a busy one."""
    starts = np.unique(rows[:, 1] + rows[:, 2])
    ends = np.array([(rows[:, 1] + rows[:, 2] + rows[:, 3])[rows[:, 1] + rows[:, 2] == s].max()
                     for s in starts])  # fmt: skip
    before = np.searchsorted(starts, rows[:, 0]) - 1
    busy = (before >= 0) & (ends[np.maximum(before, 0)] > rows[:, 0])
    took = (rows[:, 1] - rows[:, 0]) / 1e6
    every = _thinned(took)
    return _thinned(took[~busy]) or every, _thinned(took[busy]) or every


def _answers(rows: np.ndarray) -> dict[int, tuple[float, ...]]:
    """rows -> from a batch's end to its answers, by the batch's size."""
    found: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        found[int(row[6])].append((row[5] - row[1] - row[2] - row[3]) / 1e6)
    return {size: _thinned(one) for size, one in found.items()}


def _thinned(samples: Sequence[float]) -> tuple[float, ...]:
    """At most KEPT of them, at even quantiles."""
    ascending = np.sort(np.maximum(samples, 0.0))
    if len(ascending) > KEPT:
        ascending = np.quantile(ascending, np.linspace(0, 1, KEPT))
    return tuple(map(float, ascending))


def _loop_s(pids: Sequence[int]) -> float:
    """Processor time of replicas' event loops, which run in their first threads."""
    return sum(
        thread.user_time + thread.system_time
        for pid in pids
        for thread in psutil.Process(pid).threads()
        if thread.id == pid
    )
