"""A picture of `narrows bench policy`: accuracy by link, everyone side by side."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHOWN = (
    "policy", "finest + own", "point 0", "point 3", "point 5", "jpeg 60", "EWMA rule", "local",
)  # fmt: skip


def draw_policies(found: dict[str, Any], path: Path) -> None:
    """Bars of accuracy per frame captured, a line for the oracle; frames missed below."""
    rows = found["links"]
    names = [name for name in SHOWN if name in rows[0]["results"]]
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 6.5), sharex=True)
    width = 0.85 / len(names)
    for i, name in enumerate(names):
        places = [x + (i - (len(names) - 1) / 2) * width for x in range(len(rows))]
        results = [row["results"][name] for row in rows]
        upper.bar(places, [r["accuracy"] * 100 for r in results], width, label=name, zorder=2)
        lower.bar(places, [r["missed"] * 100 for r in results], width, zorder=2)
    for x, row in enumerate(rows):
        upper.hlines(row["oracle"] * 100, x - 0.45, x + 0.45, "k", lw=1, zorder=3,
                     label="oracle" if x == 0 else None)  # fmt: skip
    upper.set_ylabel("accuracy per frame, %")
    lower.set_ylabel("frames without an answer\nby the deadline, %")
    lower.set_xticks(range(len(rows)), [row["link"].partition(":")[0] for row in rows])
    upper.set_title(f"{found['fps']:g} frames/s, deadline {found['deadline_ms']:g} ms")
    for axes in (upper, lower):
        axes.grid(axis="y", alpha=0.3, zorder=0)
    upper.legend(ncols=5, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.1))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
