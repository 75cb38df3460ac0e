"""What `narrows bench head` shows: a table for the terminal and one picture."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OURS_COLOUR = "#c2410c"
COLOURS = {"fp32": "#475569", "bf16": "#94a3b8", "int8": "#cbd5e1"}
TITLES = {"shipped": "shipped head", "entropic_student": "Entropic Student's encoder"}


def print_heads(found: dict[str, Any]) -> None:
    """Milliseconds of every runtime and precision, then the device path."""
    console = Console()
    console.print(
        f"{found['side']} x {found['side']} pixels, {found['threads']} thread(s), {found['cpu']}"
    )
    for name, rows in _rows(found).items():
        table = Table("runtime", "precision", "ms", "GFLOP/s", "error", title=TITLES[name])
        for runtime, precision, ms, speed, error in rows:
            table.add_row(runtime, precision, f"{ms:.3f}", f"{speed:.0f}", f"{error:.1g}")
        console.print(table)
    if found["peak_gflop_s"]:
        console.print(f"a large fp32 matrix product by torch: {found['peak_gflop_s']:.0f} GFLOP/s")
    table = Table(
        "device", "ms", "RSS MB", "start s", title="photograph in memory to bytes to send"
    )
    paths = {"narrows": found}
    paths |= {n: p for n, p in found["entropic_student"]["peers"].items() if "rss_mb" in p}
    for name, path in paths.items():
        figures = (path["device_path_ms"], path["rss_mb"], path["start_s"])
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    console.print(table)
    for name, reason in found["missing"].items():
        console.print(f"{name} is left out: {reason}", markup=False)


def plot_heads(found: dict[str, Any], path: Path) -> None:
    """GFLOP/s reached by every runtime, against what a large matrix product reaches."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    networks = _rows(found)
    figure, panels = plt.subplots(1, len(networks), figsize=(12, 4.5), sharey=True)
    for panel, (name, rows) in zip(panels, networks.items(), strict=True):
        labels = [f"{runtime}\n{precision}" for runtime, precision, *_ in rows]
        colours = [OURS_COLOUR if r == "narrows" else COLOURS[p] for r, p, *_ in rows]
        bars = panel.bar(labels, [speed for *_, speed, _ in rows], color=colours)
        times = [f"{ms:.2f} ms" for _, _, ms, *_ in rows]
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        panel.bar_label(bars, times, padding=2, fontsize=8, bbox=white)
        if found["peak_gflop_s"]:
            label = "a large fp32 matrix product, measured"
            panel.axhline(found["peak_gflop_s"], color="black", ls="--", lw=1, label=label)
            panel.legend(loc="upper left", frameon=False, fontsize=8)
        panel.set_title(TITLES[name], fontsize=10)
        panel.tick_params(axis="x", labelsize=7, rotation=30)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("GFLOP/s (int8: GOP/s)")
    pixels = f"{found['side']} x {found['side']} pixels"
    figure.suptitle(f"Heads, {pixels}, {found['threads']} thread(s), {found['cpu']}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _rows(found: dict[str, Any]) -> dict[str, list[tuple[str, str, float, float, float]]]:
    """Per network: runtime, precision, milliseconds, GFLOP/s, error; fastest last."""
    networks = {"shipped": found, "entropic_student": found["entropic_student"]}
    rows = {}
    for name, network in networks.items():
        runtimes = {"narrows": network, **network["peers"]}
        entries = [
            (
                runtime,
                precision,
                ms,
                network["gflop"] / ms * 1e3,
                figures.get(f"{precision}_error", 0.0),
            )
            for runtime, figures in runtimes.items()
            for precision in COLOURS
            if (ms := figures.get(f"{precision}_ms"))
        ]
        rows[name] = sorted(entries, key=lambda entry: -entry[2])
    return rows
