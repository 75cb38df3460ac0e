"""Pictures of a measurement: where time and energy go, a panel a link and a bar a choice."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from narrows.simulations.measuring.events import ALL_STAGES
from narrows.simulations.measuring.table import SPENT

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Row = Mapping[str, Any]
Value = Callable[[Row, str], float]
COLOURS = {
    stage: plt.get_cmap("tab20")(place)
    for place, stage in enumerate(dict.fromkeys((*ALL_STAGES, *SPENT)))
}


def draw_latency(target: Path, rows: Sequence[Row]) -> None:
    """Medians of the stages, and a line from the whole's p50 to its p90."""
    figure, panels = _panels(rows)
    for axes, shown in panels:
        _bars(axes, shown, ALL_STAGES, _median)
        for place, row in enumerate(shown):
            latency = row["latency_ms"]
            if latency["p50"] is not None:
                axes.plot([latency["p50"], latency["p90"]], [place, place], "k|-", linewidth=1)
    _save(figure, "milliseconds: median of each stage; line: the whole's p50 to p90", target)


def draw_energy(target: Path, rows: Sequence[Row], source: str) -> None:
    """Millijoules a frame by stage; `source` says whether they were measured."""
    figure, panels = _panels(rows)
    for axes, shown in panels:
        _bars(axes, shown, SPENT, _millijoules)
    _save(figure, f"millijoules a frame above rest ({source}; the radio is a model)", target)


def _median(row: Row, stage: str) -> float:
    found = row["latency_ms"]["stages"].get(stage)
    return 0.0 if found is None else float(found["p50"])


def _millijoules(row: Row, stage: str) -> float:
    return 1e3 * float(row["energy"]["stages"].get(stage, 0.0))


def _panels(rows: Sequence[Row]) -> tuple[Any, list[tuple[Any, list[Row]]]]:
    """Links differ a hundredfold: each has its own scale."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["link"], []).append(row)
    heights = [len(group) for group in groups.values()]
    figure, panels = plt.subplots(
        len(groups), 1, squeeze=False, height_ratios=heights, layout="constrained",
        figsize=(8, 0.8 + 0.7 * len(groups) + 0.3 * len(rows)),
    )  # fmt: skip
    for axes, link in zip(panels[:, 0], groups, strict=True):
        axes.set_title("no link" if link == "none" else link, loc="left", fontsize="medium")
    return figure, list(zip(panels[:, 0], groups.values(), strict=True))


def _bars(axes: Any, rows: Sequence[Row], stages: Sequence[str], value: Value) -> None:
    left = [0.0] * len(rows)
    for stage in stages:
        widths = [value(row, stage) for row in rows]
        if any(widths):
            axes.barh(range(len(rows)), widths, left=left, label=stage, color=COLOURS[stage])
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), [row["shown"].partition(",")[0] for row in rows])
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")


def _save(figure: Any, label: str, target: Path) -> None:
    found = {
        name: handle
        for axes in figure.axes
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if found:
        order = [stage for stage in COLOURS if stage in found]
        handles = [found[stage] for stage in order]
        figure.legend(handles, order, ncols=6, fontsize="small", loc="outside upper center")
    figure.supxlabel(label, fontsize="medium")
    figure.savefig(target, dpi=110)
    plt.close(figure)
