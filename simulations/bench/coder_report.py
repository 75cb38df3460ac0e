"""What `narrows bench coder` shows: tables for the terminal and one picture."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OURS_COLOUR, PEER_COLOUR = "#c2410c", "#94a3b8"


def print_coders(found: dict[str, Any]) -> None:
    """Every rate and coder; times as multiples of ours."""
    console = Console()
    title = f"{found['symbols']:,} symbols, {found['isa']}, one thread, {found['cpu']}"
    columns = (
        "rate",
        "coder",
        "takes",
        "bytes",
        "over ideal",
        "enc Msym/s",
        "dec Msym/s",
        "enc",
        "dec",
    )
    table = Table(*columns, title=title, caption="enc, dec: time as a multiple of narrows'")
    for regime, results in found["regimes"].items():
        for name, row in results["coders"].items():
            over = row.get("over_ideal_percent")
            table.add_row(
                regime,
                name,
                row["takes"],
                f"{row['bytes']:,.0f}",
                "" if over is None else f"{over:+.2f} %",
                f"{row['encode_msym_s']:,.0f}",
                f"{row['decode_msym_s']:,.0f}",
                f"{row['encode_times_ours']:.2f}x",
                f"{row['decode_times_ours']:.2f}x",
            )
        table.add_section()
    console.print(table)
    _print_isas(console, found)
    _print_scaling(console, found)
    for name, reason in found["missing"].items():
        console.print(f"{name} is left out: {reason}", markup=False)


def _print_isas(console: Console, found: dict[str, Any]) -> None:
    table = Table("instructions", "rate", "coder", "enc Msym/s", "dec Msym/s", title="narrows")
    for isa, regimes in found["isas"].items():
        for regime, coders in regimes.items():
            for name, row in coders.items():
                speeds = (f"{row['encode_msym_s']:,.0f}", f"{row['decode_msym_s']:,.0f}")
                table.add_row(isa, regime, name, *speeds)
    console.print(table)


def _print_scaling(console: Console, found: dict[str, Any]) -> None:
    threads = found["scaling"]["threads"]
    table = Table("coder", "enc", "dec", title=f"{threads} Python threads, times the speed of one")
    for name, row in found["scaling"].items():
        if name != "threads":
            table.add_row(name, f"{row['encode']:.2f}x", f"{row['decode']:.2f}x")
    console.print(table)


def plot_coders(found: dict[str, Any], path: Path) -> None:
    """Bars at the middle rate: how fast each coder is, and how many bytes it adds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = dict(found["regimes"]["mid"]["coders"])
    slower = list(found["isas"].items())[:-1]
    rows |= {f"narrows, {isa}": coders["mid"]["narrows"] for isa, coders in slower}
    names = sorted(rows, key=lambda name: rows[name]["encode_msym_s"])
    colours = [OURS_COLOUR if name.startswith("narrows") else PEER_COLOUR for name in names]
    figure, panels = plt.subplots(1, 3, figsize=(12, 0.42 * len(names) + 1.6), sharey=True)
    titles = ("encode, Msym/s", "decode, Msym/s", "bytes over the ideal, %")
    fields = ("encode_msym_s", "decode_msym_s", "over_ideal_percent")
    for panel, title, field in zip(panels, titles, fields, strict=True):
        values = [rows[name].get(field, float("nan")) for name in names]
        bars = panel.barh(names, values, color=colours)
        speed = field != "over_ideal_percent"
        panel.bar_label(bars, [_label(v, speed) for v in values], padding=3, fontsize=8)
        panel.set_xscale("log" if speed else "symlog", **({} if speed else {"linthresh": 0.1}))
        panel.margins(x=0.25)
        panel.set_title(title, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    heading = f"Entropy coders, {found['symbols']:,} symbols of {found['bits_per_symbol']:.2f} bits"
    figure.suptitle(f"{heading}, one thread, {found['cpu']}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _label(value: float, speed: bool) -> str:
    if value != value:  # not measured
        return ""
    return f"{value:,.0f}" if speed else f"{value:+.2f}"
