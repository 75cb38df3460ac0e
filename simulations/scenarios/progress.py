"""What is seen of a simulation while it runs: a bar, and a table of the latest seconds."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from narrows.simulations.events.device import Taken

LATEST = 500  # answers that the shown percentiles are of


@dataclass
class Progress:
    """One way of a scenario under way."""

    way: str
    seconds: float
    deadline_ms: float
    now_s: float = 0.0
    waiting: int = 0  # frames in all replicas' queues
    statuses: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATEST))

    def settled(self, frame: Taken) -> None:
        """A frame has its status."""
        self.note(frame.status, (frame.answered_ns - frame.due_ns) / 1e6)

    def note(self, status: str, latency_ms: float) -> None:
        """Likewise, of any frame."""
        self.statuses[status] += 1
        if status == "OK":
            self.latencies_ms.append(latency_ms)
        self.missed += status != "OK" or latency_ms > self.deadline_ms


class LiveTable:
    """Draws the latest progress of every way."""

    def __init__(self, live: Live | None):
        self._live, self._ways = live, dict[str, Progress]()

    def show(self, progress: Progress) -> None:
        """Draw anew, as often as the terminal is refreshed."""
        self._ways[progress.way] = progress
        if self._live is not None:
            self._live.update(Group(_table(self._ways), _bar(progress)))


@contextmanager
def live_table(console: Console, quiet: bool) -> Iterator[LiveTable]:
    """A table that is drawn in place; nothing where `quiet`."""
    if quiet:
        yield LiveTable(None)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield LiveTable(live)


def _table(ways: dict[str, Progress]) -> Table:
    table = Table("way", "second", "frames", "answered", "missed", "p50, ms", "p95, ms", "waiting")
    for way, progress in ways.items():
        latest = sorted(progress.latencies_ms)
        p50, p95 = (_quantile(latest, share) for share in (0.5, 0.95))
        total = sum(progress.statuses.values())
        table.add_row(
            way, f"{progress.now_s:.0f}/{progress.seconds:.0f}", f"{total:,}",
            f"{progress.statuses['OK']:,}", f"{progress.missed:,}", p50, p95, str(progress.waiting),
        )  # fmt: skip
    return table


def _quantile(ascending: list[float], share: float) -> str:
    return f"{ascending[int(share * (len(ascending) - 1))]:.1f}" if ascending else ""


def _bar(progress: Progress) -> ProgressBar:
    return ProgressBar(total=progress.seconds, completed=progress.now_s, width=72)
