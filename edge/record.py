"""One record per frame, one summary per run: what the device prints, and what others read."""

import os
import resource
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from narrows.edge.outcome import KEPT, NOTHING, OK, Outcome
from narrows.errors import SourceError

if TYPE_CHECKING:
    from narrows.edge.policy.policy import Decision  # who asks for no policy needs none of it

PERCENTILE_FRAMES = 100_000  # percentiles are of the latest: a camera runs for ever
SHOWN_SKIPS = 20


@dataclass(frozen=True)
class FrameRecord:
    """A frame and what became of it."""

    name: str
    label: str | None  # the source's, if it knows
    correct: bool | None
    point: int | None  # None for a picture upload or a local answer
    outcome: Outcome
    timing_ms: dict[str, float]  # by stage; their sum is the latency
    image: Image.Image | None = None  # as the source gave it
    decision: "Decision | None" = None  # a policy's, and why
    kept: bool = False  # in the spool: the server's answer will be a record of its own
    captured_ns: int | None = None  # since 1970, of a frame that comes from the spool
    one_in: int = 1  # one frame in so many is taken now: more while the board is hot

    @property
    def captured(self) -> str | None:
        """When, of a frame that comes from the spool: ISO 8601."""
        return None if self.captured_ns is None else _utc(self.captured_ns)

    def to_json(self) -> dict[str, Any]:
        """The JSON object of one line of `narrows edge --json`."""
        outcome = self.outcome
        return {
            "frame_id": outcome.frame_id,
            "name": self.name,
            "label": self.label,
            "correct": self.correct,
            "point": self.point,
            "status": outcome.status,
            "message": outcome.message,
            "labels": [asdict(label) for label in outcome.labels],
            "boxes": None if outcome.boxes is None else [asdict(box) for box in outcome.boxes],
            "classes": None if outcome.mask is None else outcome.mask.shares(),
            "packet_bytes": outcome.wire.packet_bytes,
            "message_bytes": outcome.wire.message_bytes,
            "framing_bytes": outcome.wire.framing_bytes,
            "wire_bytes": outcome.wire.total_bytes,
            "timing_ms": self.timing_ms,
            "latency_ms": sum(self.timing_ms.values()),
            "sendings": outcome.sendings,
            "answered_by": outcome.answered_by,
            "decision": None if self.decision is None else self.decision.to_json(),
            "kept": self.kept,
            "spooled": self.captured_ns is not None,
            "captured": self.captured,
            "one_in": self.one_in,
            "queue_depth": outcome.queue_depth,
            "batch_size": outcome.batch_size,
        }


@dataclass
class Tally:
    """Running sums of a run; `captured` counts frames before they have an outcome."""

    captured: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    labelled: int = 0
    correct: int = 0
    local: int = 0  # answered by the device itself
    renewals: int = 0  # newer versions of the bundle taken over
    packet_bytes: int = 0
    wire_bytes: int = 0
    skipped: int = 0
    skips: list[str] = field(default_factory=list)
    dropped: int = 0  # of a camera's frames: there was a newer one
    startup_ms: float = 0.0
    started_cpu_s: float = 0.0  # of this process, before its first frame
    timings: deque[dict[str, float]] = field(
        default_factory=lambda: deque(maxlen=PERCENTILE_FRAMES)
    )

    def skip(self, error: SourceError) -> None:
        """A picture that could not be read."""
        self.skipped += 1
        if len(self.skips) < SHOWN_SKIPS:
            self.skips.append(str(error))

    def drop(self) -> None:
        """A camera gave a frame that nobody had time for."""
        self.dropped += 1

    def started(self) -> None:
        """The first frame can be taken now: what came before was start-up."""
        self.startup_ms = _age_s() * 1e3
        self.started_cpu_s = time.process_time()

    def add(self, record: FrameRecord) -> None:
        """A frame has its outcome."""
        self.statuses[record.outcome.status] += 1
        if not record.outcome.ok:
            return
        self.local += record.outcome.answered_by == "local"
        self.labelled += record.correct is not None
        self.correct += bool(record.correct)
        self.packet_bytes += record.outcome.wire.packet_bytes
        self.wire_bytes += record.outcome.wire.total_bytes
        self.timings.append(record.timing_ms)

    def summary(self, **connection: Any) -> dict[str, Any]:
        """The summary object; `connection` adds what only a session knows."""
        answered = self.statuses[OK]
        nothing, kept = self.statuses[NOTHING], self.statuses[KEPT]
        failed = sum(self.statuses.values()) - answered - nothing - kept
        told = (OK, NOTHING, KEPT)
        return {
            "frames": self.captured,
            "answered": answered,
            "local": self.local,
            "nothing": nothing,
            "kept": kept,
            "failed": failed,
            "lost": self.captured - answered - nothing - kept - failed,
            "errors": {s: n for s, n in sorted(self.statuses.items()) if s not in told},
            "skipped": self.skipped,
            "skips": self.skips,
            "dropped": self.dropped,
            "accuracy": self.correct / self.labelled if self.labelled else None,
            "packet_bytes": self.packet_bytes / answered if answered else None,
            "wire_bytes": self.wire_bytes / answered if answered else None,
            "latency_ms": latency(self.timings),
            "renewals": self.renewals,
            **connection,
            "startup_ms": round(self.startup_ms, 1),
            "cpu_ms": round((time.process_time() - self.started_cpu_s) * 1e3, 3),  # after it
            "peak_memory_bytes": peak_memory_bytes(),
        }


def _age_s() -> float:
    """Of this process, to a tick of 10 ms: both by the clock that runs since boot (proc(5), stat).

    psutil takes the boot's time of day between, which is whole seconds and moves with the clock.
    """
    began_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / os.sysconf("SC_CLK_TCK")


def _utc(since_1970_ns: int) -> str:
    """ISO 8601, to the millisecond."""
    instant = datetime.fromtimestamp(since_1970_ns / 1e9, timezone.utc)
    return instant.isoformat(timespec="milliseconds")


def latency(timings: Sequence[dict[str, float]]) -> dict[str, Any]:
    """p50 and p99 of the whole and of each stage, in milliseconds."""
    if not timings:
        return {"p50": None, "p99": None, "stages": {}}
    stages = {name: _quantiles([t.get(name, 0.0) for t in timings]) for name in timings[0]}
    return _quantiles([sum(t.values()) for t in timings]) | {"stages": stages}


def _quantiles(values: Sequence[float]) -> dict[str, Any]:
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def peak_memory_bytes() -> int:
    """The most this process ever had resident.

    Linux's VmHWM where there is one: ru_maxrss there also remembers the parent before exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next((s for s in status.read_text().splitlines() if s.startswith("VmHWM:")), None)
        if line is not None:
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
