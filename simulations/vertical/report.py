"""The benchmark's figures as CSV and tables."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OURS = "shares"


def write_csv(found: Mapping[str, Any], path: Path) -> None:
    """One line per set, number of parties, way of straggling and method."""
    rows = [{key: row[key] for key in row if key != "curve"} for row in found["rows"]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})


def print_figures(found: Mapping[str, Any]) -> None:
    """One table per set and number of parties."""
    console = Console()
    heads = (
        "straggling",
        "method",
        "accuracy",
        "as served",
        "epochs",
        "virtual s",
        "to target s",
        "faster",
    )
    tables: dict[tuple[str, int], Table] = {}
    for row in found["rows"]:
        title = (
            f"{row['set']}: {row['records']} records, {row['held_out']} held out; N = "
            f"{row['parties']}, S = {row['stragglers']}, R = {row['recovery_threshold']}, K = "
            f"{row['segments']}; target "
            f"{row['target']:.1%}"
        )
        table = tables.setdefault(
            (row["set"], row["parties"]), Table(*heads, title=title, title_justify="left")
        )
        table.add_row(
            row["straggling"], row["method"], _percent(row["accuracy"]), _percent(row["served"]),
            str(row["epochs"]),
            _plain(row["virtual_s"]), _plain(row["to_target_s"]), _plain(row["times_faster"], "x"),
        )  # fmt: skip
    for table in tables.values():
        console.print(table)
    console.print(
        f"means of {found['seeds']} seeds; delays of {found['delay_ms']:g} ms, a deadline of "
        f"{found['deadline_ms']:g} ms, {found['compute_ms']:g} ms for any answer"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _plain(value: float | None, unit: str = "") -> str:
    return "-" if not value else f"{value:.1f}{unit}"
