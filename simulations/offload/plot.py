"""A picture of `narrows bench offload`: accuracy against the median frame, a panel a set-up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from narrows.simulations.offload.report import setup_name

FAMILIES = {"jpeg": "JPEG, quality beside", "fixed": "split, point beside"}
ALONE = {"local": ("s", "device alone"), "policy": ("*", "policy")}


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Write the picture; ways whose median frame had no answer are left out."""
    rows = found["rows"]
    columns = 1 + 2 * (len({row["clients"] for row in rows}) - 1)
    columns = max(1, min(columns, len(rows)))
    lines = -(-len(rows) // columns)
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(4.3 * columns, 3.4 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for axes in panels.flat[len(rows) :]:
        axes.set_visible(False)
    for axes, row in zip(panels.flat, rows, strict=False):
        _panel(axes, row)
    panels[0][0].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axes: Any, row: Mapping[str, Any]) -> None:
    for kind, label in FAMILIES.items():
        points = [
            (part["p50_ms"], 100 * part["accuracy"], way.partition(":")[2])
            for way, part in row["ways"].items()
            if way.startswith(f"{kind}:") and part["p50_ms"] is not None
        ]
        points.sort(key=lambda point: int(point[2]))
        axes.plot([p[0] for p in points], [p[1] for p in points], "o-", markersize=4, label=label)
        for x, y, name in points:
            axes.annotate(name, (x, y), xytext=(3, 3), textcoords="offset points", fontsize=7)
    for way, (marker, label) in ALONE.items():
        part = row["ways"][way]
        if part["p50_ms"] is not None and part["accuracy"] is not None:
            axes.plot(part["p50_ms"], 100 * part["accuracy"], marker, markersize=9, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(title=setup_name(row), xlabel="median frame, ms", ylabel="accuracy, %")
    axes.grid(alpha=0.3)
