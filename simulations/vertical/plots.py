"""The benchmark as a picture: accuracy over virtual time, a panel for each set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.simulations.vertical.report import OURS

COLUMNS = 4


def draw(found: Mapping[str, Any], target: Path) -> None:
    """The first way of straggling and number of parties; the format is the target's suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sets: dict[str, list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        sets.setdefault(row["set"], []).append(row)
    columns = min(COLUMNS, len(sets))
    lines = -(-len(sets) // columns)
    figure, panels = plt.subplots(
        lines, columns, figsize=(4 * columns, 3.2 * lines), layout="constrained", squeeze=False
    )
    for panel, (name, rows) in zip(panels.flat, sets.items(), strict=False):
        parties = rows[0]["parties"]
        kind = next(row["straggling"] for row in rows if row["straggling"])
        for row in rows:
            if row["parties"] == parties and row["straggling"] == kind and row["curve"]:
                x = [point["ends_s"] for point in row["curve"]]
                y = [100 * point["accuracy"] for point in row["curve"]]
                width = 2.5 if row["method"] == OURS else 1.2
                panel.plot(x, y, marker=".", linewidth=width, label=row["method"])
        panel.axhline(100 * rows[0]["accuracy"], color="grey", linestyle=":", linewidth=1)
        panel.set(xscale="log", title=f"{name}, {parties} parties")
        panel.grid(alpha=0.3)
    for panel in panels.flat[len(sets) :]:
        panel.axis("off")
    for panel in panels[-1]:
        panel.set_xlabel("virtual seconds")
    for panel in panels[:, 0]:
        panel.set_ylabel("held-out accuracy, %")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(target, dpi=72)
    plt.close(figure)
