"""What is seen on a terminal: a table that fills while it measures, and the same at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

COLUMNS = ("", "accuracy", "p50", "p90", "p99", "bytes", "mJ", "server")
UNITS = (
    "milliseconds from capture to answer; a frame's payload + framing, the device's millijoules "
    "above rest, the server's milliseconds of processor"
)


@contextmanager
def live_rows(console: Console, runs: int, quiet: bool) -> Iterator[Callable[[dict], None]]:
    """Yields what is to be told of a row after each of its runs; draws nothing where `quiet`."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    if quiet or not console.is_terminal:
        yield lambda row: None
        return
    with Live(console=console, transient=True) as live:
        bar = ProgressBar(total=runs, completed=0, width=72)
        live.update(Group(_table([]), bar))

        def show(row: dict[str, Any]) -> None:
            found[row["link"], row["choice"]] = row
            bar.update((bar.completed or 0) + 1)
            live.update(Group(_table(list(found.values())), bar))

        yield show


def printed(console: Console, result: dict[str, Any]) -> None:
    """The figures, where their joules come from, and where the rest is."""
    told = f"{result['photographs']} photographs of {result['source']}, {result['clients']} at once"
    console.print(told, markup=False)
    console.print(_table(result["rows"]))
    energy = result["energy"]
    console.print(f"energy: {energy['covers']}")
    for name, why in energy["not_used"].items():
        console.print(f"  not {name}: {why}", markup=False)
    console.print(f"report, table, every frame: {result['run']}", markup=False)


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """A row as text, in the order of COLUMNS."""
    latency, sent, joules = row["latency_ms"], row["bytes"], row["energy"]["joules_per_frame"]
    return (
        row["shown"] + _missing(row),
        "-" if row["accuracy"] is None else f"{row['accuracy']:.1%}",
        *(_number(latency[share], 1) for share in ("p50", "p90", "p99")),
        f"{_number(sent['payload'], 0)} + {_number(sent['framing'], 0)}",
        _number(None if joules is None else 1e3 * joules, 2),
        _number(row["server"]["cpu_ms_per_frame"], 2),
    )  # fmt: skip


def _missing(row: dict[str, Any]) -> str:
    missing = row["frames"] + row["lost"] - row["answered"]
    return f" ({missing} unanswered)" if missing else ""


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(caption=UNITS, box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in rows:
        table.add_row(*cells(row))
    return table


def _number(value: float | None, digits: int) -> str:
    """With so many decimals, of numbers that are not large."""
    return "-" if value is None else f"{value:,.{0 if value >= 1000 else digits}f}"
