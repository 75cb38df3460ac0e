"""The benchmark as a picture: bytes, device time and arithmetic against accuracy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.simulations.rate_distortion.report import OURS
from narrows.simulations.rate_distortion.statistics import bytes_at

DROP = 0.03  # below the unsplit network: where the trade-off is read


def draw(found: Mapping[str, Any], target: Path) -> None:
    """Three panels; the format is the target's suffix.

    Accuracy over bytes with 95 % bands; bytes at 3 points below the unsplit network over device
    milliseconds, area by encoder parameters, hollow where a method never gets there; and accuracy
    over encoder multiply-adds times bytes, the SC2 benchmark's ExR-D with arithmetic for file size.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (rate, trade, product) = plt.subplots(1, 3, figsize=(16, 5), layout="constrained")
    unsplit = found["unsplit_accuracy"]
    colours = plt.get_cmap("tab10")
    methods = {m: rows for m, rows in found["methods"].items() if rows[0]["bytes"] > 1}
    for number, (method, rows) in enumerate(methods.items()):
        rows = sorted(rows, key=lambda row: row["bytes"])
        style = {
            "color": colours(number % 10),
            "linewidth": 2.5 if method == OURS else 1.2,
            "marker": "o", "markersize": 5 if method == OURS else 3, "label": method,
        }  # fmt: skip
        x, y = [r["bytes"] for r in rows], [100 * r["accuracy"] for r in rows]
        rate.plot(x, y, **style)
        low, high = ([100 * r["ci95"][side] for r in rows] for side in (0, 1))
        rate.fill_between(x, low, high, color=style["color"], alpha=0.1, linewidth=0)
        if rows[0]["macs"]:
            product.plot([r["macs"] * r["bytes"] / 1e9 for r in rows], y, **style)
        if rows[0]["device_ms"] is not None:
            _place(trade, method, rows, unsplit - DROP, style["color"])
    for panel in (rate, product):
        panel.axhline(100 * unsplit, color="grey", linestyle=":", linewidth=1)
        panel.set(xscale="log", ylabel="accuracy, %")
        panel.legend(fontsize=8, loc="lower right")
        panel.grid(alpha=0.3)
    rate.set(xlabel="bytes per picture", title="rate: dotted is the unsplit network")
    product.set(xlabel="encoder MACs x bytes, 10^9", title="arithmetic and rate")
    trade.set(
        xscale="log", yscale="log", xlabel="device, ms per picture",
        ylabel=f"bytes at {100 * DROP:.0f} points below unsplit",
        title="the trade: left and low is better; area: encoder parameters",
    )  # fmt: skip
    trade.grid(alpha=0.3)
    trade.margins(0.25)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _place(
    panel: Any, method: str, rows: list[dict[str, Any]], accuracy: float, colour: Any
) -> None:
    reached = bytes_at([(r["bytes"], r["accuracy"]) for r in rows], accuracy)
    best = max(rows, key=lambda row: row["accuracy"])
    at = (best["device_ms"], reached or best["bytes"])
    area = 40 + best["parameters"] / 2000
    face = colour if reached else "none"
    panel.scatter(*at, s=area, facecolors=face, edgecolors=[colour], alpha=0.8)
    note = method if reached else f"{method} ({best['accuracy']:.0%} at best)"
    panel.annotate(note, at, xytext=(8, 6), textcoords="offset points", fontsize=8)
