"""The benchmark's figures as JSON, CSV and a table."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy import bool_
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from narrows.simulations.rate_distortion.curve import Curve
from narrows.simulations.rate_distortion.statistics import (
    accuracy_interval,
    bd_rate,
    common,
    ratio_at,
    ratio_interval,
)

DROPS = (1, 3)  # points of accuracy below the unsplit network's
OURS = "ours"


def figures(
    curves: Sequence[Curve],
    unsplit: NDArray[bool_],
    times: Mapping[str, Sequence[float | None]],
) -> dict[str, Any]:
    """The JSON object of `narrows bench rd`; ratios are our bytes over theirs."""
    points = {c.method: [(s.bytes, s.accuracy) for s in c.samples] for c in curves}
    by_name = {c.method: c for c in curves}
    sends = [c.method for c in curves if c.samples[0].bytes > 1]  # a device alone sends its answer
    others = [method for method in sends if method != OURS]
    found: dict[str, Any] = {
        "frames": len(unsplit),
        "unsplit_accuracy": float(unsplit.mean()),
        "methods": {c.method: _rows(c, times[c.method]) for c in curves},
        "runtime": {c.method: c.runtime for c in curves},
    }
    if OURS not in by_name:
        return found
    accuracy = float(unsplit.mean())
    ours = by_name[OURS]
    for drop in DROPS:
        at = accuracy - drop / 100
        ratios = {m: ratio_at(points[OURS], points[m], at) for m in others}
        sure = {m: ratio_interval(ours, by_name[m], unsplit, drop / 100) for m in others}
        found.setdefault("bytes_ratio_at", {})[f"-{drop}"] = ratios
        found.setdefault("bytes_ratio_ci95_at", {})[f"-{drop}"] = sure
    found["bytes_ratio_at_common"] = {m: common(points[OURS], points[m]) for m in others}
    found["bd_rate"] = {m: bd_rate(points[m], points[OURS]) for m in others}
    return found


def _rows(curve: Curve, times: Sequence[float | None]) -> list[dict[str, Any]]:
    return [
        {
            "point": s.point,
            "accuracy": s.accuracy,
            "bytes": s.bytes,
            "ci95": list(accuracy_interval(s.right)),
            "device_ms": ms,
            "macs": curve.macs,
            "parameters": curve.parameters,
        }
        for s, ms in zip(curve.samples, times, strict=True)
    ]


def write_csv(found: Mapping[str, Any], path: Path) -> None:
    """One line per method and point."""
    rows = [{"method": m} | row for m, rows in found["methods"].items() for row in rows]
    for row in rows:
        row["ci95_low"], row["ci95_high"] = row.pop("ci95")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def print_figures(found: Mapping[str, Any]) -> None:
    """Two tables: every point, and our bytes over every other method's."""
    console = Console()
    table = Table("method", "point", "accuracy", "95 %", "bytes", "device ms", "M MACs", "runtime")
    for method, rows in found["methods"].items():
        for row in rows:
            low, high = row["ci95"]
            ms = row["device_ms"]
            table.add_row(
                method, row["point"], f"{row['accuracy']:.1%}", f"{low:.1%} to {high:.1%}",
                f"{row['bytes']:,.0f}", "-" if ms is None else f"{ms:.2f}",
                f"{row['macs'] / 1e6:,.0f}", found["runtime"][method],
            )  # fmt: skip
    console.print(table)
    console.print(f"{found['frames']} photographs; unsplit network {found['unsplit_accuracy']:.1%}")
    if "bytes_ratio_at" in found:
        console.print(_ratios(found))


def _ratios(found: Mapping[str, Any]) -> Table:
    drops = list(found["bytes_ratio_at"])
    heads = [f"{drop} points" for drop in drops]
    heads += ["the best both reach", "BD-rate"]
    table = Table("method", *heads, title="our bytes over theirs at equal accuracy")
    for method in found["bd_rate"]:
        cells = []
        for drop in drops:
            ratio = found["bytes_ratio_at"][drop][method]
            sure = found["bytes_ratio_ci95_at"][drop][method]
            between = f" ({sure[0]:.2f} to {sure[1]:.2f})" if sure else ""
            cells.append("not reached" if ratio is None else f"{ratio:.2f}{between}")
        both = found["bytes_ratio_at_common"][method]
        cells.append(f"{both['ratio']:.2f} at {both['accuracy']:.1%}")
        rate = found["bd_rate"][method]
        table.add_row(method, *cells, "-" if rate is None else f"{rate:+.0f} %")
    return table
