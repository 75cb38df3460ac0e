"""One run of one choice over one link: devices started, fed, watched, and what they left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.simulations.demo.devices import Fleet, run_devices
from narrows.simulations.measuring.choices import Cell
from narrows.simulations.measuring.events import Row, rows_of
from narrows.simulations.measuring.photographs import Photographs
from narrows.simulations.measuring.stand import Line, line_to
from narrows.simulations.measuring.window import Instant, Spent, Window


@dataclass(frozen=True)
class Manner:
    """How devices behave, whatever they send."""

    clients: int
    fps: float | None
    window: int
    deadline_ms: int
    head: str

    def arguments(self) -> list[str]:
        """Of `narrows edge`."""
        told = ["--window", str(self.window), "--deadline-ms", str(self.deadline_ms)]
        told += ["--head", self.head]
        return told if self.fps is None else [*told, "--fps", str(self.fps)]


@dataclass(frozen=True)
class Stand:
    """What all runs share."""

    bundle: Path
    server: str  # its address
    whole: Path | None  # the unsplit network as ONNX, where `local` is asked for
    manner: Manner
    look: Callable[[], Instant]


@dataclass(frozen=True)
class Run:
    """A run and everything that was counted in it."""

    cell: Cell
    rows: Sequence[Row]  # a frame each
    lost: int  # photographs that no device told of
    skipped: int  # ... that could not be read
    cpu_s: float  # of all devices, from their first frames on
    peak_bytes: int  # the largest device's memory
    spent: Spent | None  # None: too few frames to tell
    line: Line


def run_cell(stand: Stand, cell: Cell, number: int, photographs: Photographs, seed: int) -> Run:
    """Send these photographs that way, in round `number`. Raises LinkError, SensorError."""
    arguments = ["--bundle", str(stand.bundle), *stand.manner.arguments()]
    clients = min(stand.manner.clients, len(photographs.paths))
    window = Window(stand.look, clients, len(photographs.paths))
    with line_to(stand.server, cell.link, seed) as line:
        told = [*arguments, "--server", line.address, *cell.choice.arguments(stand.whole)]
        fleet = run_devices(told, photographs.paths, clients, on_record=window.on_record)
        spent = window.spent()
    return _run_of(cell, rows_of(cell, number, fleet, photographs), fleet, spent, line)


def _run_of(cell: Cell, rows: Sequence[Row], fleet: Fleet, spent: Spent | None, line: Line) -> Run:
    skipped = sum(summary["skipped"] for summary in fleet.summaries)
    return Run(
        cell,
        rows,
        fleet.lost - skipped,
        skipped,
        sum(summary["cpu_ms"] for summary in fleet.summaries) / 1e3,
        max(summary["peak_memory_bytes"] for summary in fleet.summaries),
        spent,
        line,
    )
