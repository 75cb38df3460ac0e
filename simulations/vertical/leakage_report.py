"""What `narrows bench leakage` shows: tables for the terminal, and two curves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from narrows.simulations.vertical.leakage_attack import ATTACKS

VIEWS = {
    "labels": "labels alone",
    "sum": "one epoch's sums",
    "sums": "all epochs' sums",
    "embedding": "its embedding (split)",
}


def print_leakage(found: Mapping[str, Any]) -> None:
    """Every attack beside what needs no protocol."""
    console = Console()
    columns = found["columns"]
    console.print(
        f"{found['set']}: {found['learnt_from']} records learnt from, {found['held_out']} held "
        f"out, {len(columns)} parties of {min(columns)} to {max(columns)} columns; accuracy "
        f"{found['accuracy']['summed']:.1%} summed, {found['accuracy']['split']:.1%} split"
    )
    table = Table(
        "records", "known", *VIEWS.values(), title="the server guesses columns: R^2, |r|",
        caption="of each cell: " + ", then ".join(ATTACKS),
    )  # fmt: skip
    for row in found["server"]:
        cells = ["; ".join(_cell(row[attack][view]) for attack in ATTACKS) for view in VIEWS]
        table.add_row(row["records"], str(row["known"]), *cells)
    console.print(table)
    likeness = ", ".join(f"{found['alike'][view]:.2f} {name}" for view, name in VIEWS.items())
    console.print(f"who is like whom by a party's columns, 0 to 1, no record known: {likeness}")
    table = Table(
        "colluders", "known", "their columns alone", "and one epoch's sums", "and all epochs' sums",
        title="the server with colluders guesses the other parties' columns: R^2, |r|",
    )  # fmt: skip
    for row in found["colluders"]:
        cells = [_cell(row[view]) for view in ("columns", "sum", "sums")]
        table.add_row(str(row["colluders"]), str(row["known"]), *cells)
    console.print(table)
    table = Table(
        "width", "known", "accuracy", *list(VIEWS.values())[1:],
        title="embeddings of other widths: R^2, |r|",
    )  # fmt: skip
    for row in found["widths"]:
        cells = [_cell(row[view]) for view in list(VIEWS)[1:]]
        table.add_row(str(row["width"]), str(row["known"]), f"{row['accuracy']:.1%}", *cells)
    console.print(table)
    _print_party(console, found["party"])


def _print_party(console: Console, party: Mapping[str, Any]) -> None:
    table = Table(
        "gradients", "epoch", "clusters", "sign", "its AUC", "length's AUC",
        title="a party guesses labels: accuracy",
        caption=f"without gradients: {party['majority']:.1%} by the larger class, "
        f"{party['own_columns']:.1%} by clusters of its own columns",
    )  # fmt: skip
    for row in party["labels"]:
        table.add_row(
            row["gradients"], str(row["epoch"]), f"{row['clusters']:.1%}",
            f"{row['sign']:.1%}" if "sign" in row else "",
            *(f"{row[key]:.3f}" if key in row else "" for key in ("sign_auc", "length_auc")),
        )  # fmt: skip
    console.print(table)
    others = party["others"]
    console.print(
        f"a party guesses the others' columns, {others['known']} records known: R^2, |r| "
        f"{_cell(others['own_columns'])} from its own, {_cell(others['gradients'])} with gradients"
    )


def _cell(figures: Mapping[str, float]) -> str:
    return f"{figures['r2']:.2f}, {figures['r']:.2f}"


def draw_leakage(found: Mapping[str, Any], target: Path) -> None:
    """R^2 by known records and by width, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    rows = [row for row in found["server"] if row["records"] == "learnt from"]
    widths = [row["width"] for row in found["widths"]]
    for number, (view, name) in enumerate(VIEWS.items()):
        style: dict[str, Any] = {"color": f"C{number}", "marker": "o", "label": name}
        figures = [row["ridge"][view]["r2"] for row in rows]
        left.plot([row["known"] for row in rows], figures, **style)
        if view != "labels":
            right.plot(widths, [row[view]["r2"] for row in found["widths"]], **style)
    left.set(xlabel="records that the server knows", xscale="log", ylabel="R$^2$ of columns")
    right.set(xlabel=f"width of an embedding, {found['widths'][0]['known']} known", xscale="log")
    for panel, ticks in ((left, [row["known"] for row in rows]), (right, widths)):
        panel.set_xticks(ticks, map(str, ticks))
        panel.minorticks_off()
        panel.set_ylim(0, 1.03)
        panel.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.savefig(target, dpi=100)
    plt.close(figure)
