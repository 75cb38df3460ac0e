"""`narrows plan --validate`: the comparison as a table, JSON and a picture."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.simulations.bench.race import machine
from narrows.simulations.planning.validate import Trial, validate


def run_validation(trial: Trial, as_json: bool, plot: Path | None) -> None:
    """Measure, print. Raises NarrowsError."""
    console = Console(stderr=as_json)
    with Progress(console=console, transient=True, disable=as_json) as bar:
        task = bar.add_task("validating", total=trial.rounds * (1 + len(trial.devices)))
        found = validate(trial, lambda what: bar.update(task, advance=1, description=what))
    if plot is not None:
        _draw(plot, found["rows"], found["rounds"])
    result = {
        "rows": found["rows"], "rounds": found["rounds"], "load": trial.load,
        "paced": trial.server.pacing is not None, "machine": machine(),
    }  # fmt: skip
    print(json.dumps(result)) if as_json else _print(console, result)


def _print(console: Console, result: dict[str, Any]) -> None:
    table = Table(
        "devices", "quiet rounds", "frames/s", "p50, ms: real", "simulated", "p99, ms: real",
        "simulated", "error", "throughput: real", "simulated", "error", title="medians",
    )  # fmt: skip
    for row in result["rows"]:
        table.add_row(
            str(row["devices"]), f"{row['quiet']} of {row['rounds']}", f"{row['rate']:.0f}",
            f"{row['real_p50_ms']:.1f}",
            f"{row['p50_ms']:.1f}", f"{row['real_p99_ms']:.1f}", f"{row['p99_ms']:.1f}",
            f"{100 * row['p99_error']:+.0f} %", f"{row['real_throughput']:.1f}",
            f"{row['throughput']:.1f}", f"{100 * row['throughput_error']:+.1f} %",
        )  # fmt: skip
    console.print(table)
    spread = Table("devices", "real p99 of every round, ms", "a bystander's lateness, p99, ms")
    for row in result["rows"]:
        own = [each for each in result["rounds"] if each["devices"] == row["devices"]]
        columns = ([r[key] for r in own] for key in ("real_p99_ms", "bystander_p99_ms"))
        shown = (", ".join(f"{value:.0f}" for value in column) for column in columns)
        spread.add_row(str(row["devices"]), *shown)
    console.print(spread)


def _draw(target: Path, rows: list[dict[str, Any]], rounds: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for key, label, colour in (
        ("real_p99_ms", "real server", "tab:blue"), ("p99_ms", "simulated", "tab:orange"),
    ):  # fmt: skip
        axes.plot([r["devices"] for r in rounds], [r[key] for r in rounds], ".", color=colour)
        medians = [row[key] for row in rows]
        axes.plot([r["devices"] for r in rows], medians, "-", color=colour, label=label)
    axes.set(xscale="log", xlabel="devices", ylabel="p99, ms; dots: rounds", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)
