"""Pictures of a measurement: where time goes and where energy goes, a bar for every choice."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from narrows.simulations.measuring.events import ALL_STAGES
from narrows.simulations.measuring.table import SPENT

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Rows = Sequence[Mapping[str, Any]]
COLOURS = {
    stage: plt.get_cmap("tab20")(place)
    for place, stage in enumerate(dict.fromkeys((*ALL_STAGES, *SPENT)))
}


def draw_latency(target: Path, rows: Rows) -> None:
    """Medians of the stages, and a line from the whole's p50 to its p90."""
    axes = _bars(rows, ALL_STAGES, lambda row, stage: _median(row, stage))
    for place, row in enumerate(rows):
        latency = row["latency_ms"]
        if latency["p50"] is not None:
            axes.plot([latency["p50"], latency["p90"]], [place, place], "k|-", linewidth=1)
    axes.set(xlabel="milliseconds: median of each stage; line: the whole's p50 to p90")
    _save(axes, target)


def draw_energy(target: Path, rows: Rows, source: str) -> None:
    """Millijoules a frame by stage; `source` says whether they were measured."""
    axes = _bars(rows, SPENT, lambda row, stage: 1e3 * row["energy"]["stages"].get(stage, 0.0))
    axes.set(xlabel=f"millijoules a frame above rest ({source}; the radio is a model)")
    _save(axes, target)


def _median(row: Mapping[str, Any], stage: str) -> float:
    found = row["latency_ms"]["stages"].get(stage)
    return 0.0 if found is None else float(found["p50"])


def _bars(
    rows: Rows, stages: Sequence[str], value: Callable[[Mapping[str, Any], str], float]
) -> Any:
    _, axes = plt.subplots(figsize=(8, 1.2 + 0.42 * len(rows)))
    names = [row["shown"] for row in rows]
    left = [0.0] * len(rows)
    for stage in stages:
        widths = [value(row, stage) for row in rows]
        if any(widths):
            axes.barh(range(len(rows)), widths, left=left, label=stage, color=COLOURS[stage])
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    if axes.patches:
        axes.legend(ncols=6, fontsize="small", loc="lower center", bbox_to_anchor=(0.4, 1.0))
    axes.grid(alpha=0.3, axis="x")
    return axes


def _save(axes: Any, target: Path) -> None:
    axes.figure.savefig(target, dpi=110, bbox_inches="tight")
    plt.close(axes.figure)
