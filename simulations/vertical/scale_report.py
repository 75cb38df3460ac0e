"""What `narrows bench parties` shows: a table for the terminal, and curves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_parties(found: Mapping[str, Any]) -> None:
    """A line for every number of parties: what each does, and what all do together."""
    console = Console()
    each = Table(
        "N", "K", "R", "matrices", "share", "respond", "weights", "decode", "ns a term",
        title=f"a round, {found['columns']} columns a party, {found['width']} sums a record, "
        f"{found['batch_rows']} rows a segment, T = {found['privacy']}: ms of a core",
        caption="a party's, medians, its matrices once; the server's, its weights once for the "
        "same responders. ns for a multiply-add of the formula: share, respond, decode",
    )  # fmt: skip
    whole = Table(
        "N", "records", "share, ms", "respond", "decode", "relayed, MB", "to server",
        title=f"all of it on {found['cores']} cores, in {found['groups']} processes",
    )  # fmt: skip
    for row in found["rows"]:
        party, server, wall = row["party_s"], row["server_s"], row["wall_s"]
        times = [
            party["code"], party["share"], party["respond"], server["weights"], server["decode"],
        ]  # fmt: skip
        each.add_row(
            *(str(row[key]) for key in ("parties", "segments", "recovery_threshold")),
            *(_short(1e3 * seconds) for seconds in times),
            ", ".join(_short(ns) for ns in row["ns_per_multiply_add"].values()),
        )
        whole.add_row(
            str(row["parties"]), str(row["records"]),
            *(_short(1e3 * wall[key]) for key in ("share", "respond", "decode")),
            *(_short(row["bytes"][key] / 1e6) for key in ("relayed", "uploaded")),
        )  # fmt: skip
    console.print(each)
    console.print(whole)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def draw_parties(found: Mapping[str, Any], target: Path) -> None:
    """Times and bytes by N, beside what the formulas say, as a PNG.

    A formula's line goes through the last point measured: slopes are what is compared.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = found["rows"]
    counts = [row["parties"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    curves = [
        ("share", "a party shares", [row["party_s"]["share"] for row in rows]),
        ("respond", "a party responds", [row["party_s"]["respond"] for row in rows]),
        ("decode", "the server decodes", [row["server_s"]["decode"] for row in rows]),
    ]
    for name, title, seconds in curves:
        (line,) = left.loglog(counts, [1e3 * s for s in seconds], "o", label=title)
        counted = [row["formula"][name] for row in rows]
        scale = 1e3 * seconds[-1] / counted[-1]
        left.loglog(counts, [scale * c for c in counted], "--", color=line.get_color(), lw=1)
    left.set(xlabel="parties", ylabel="ms of a core in a round")
    for key, title in (("relayed", "party to party"), ("uploaded", "to the server")):
        (line,) = right.loglog(counts, [row["bytes"][key] / 1e6 for row in rows], "o", label=title)
        right.loglog(
            counts, [row["formula"][key] / 1e6 for row in rows], "--", color=line.get_color(), lw=1
        )
    right.set(xlabel="parties", ylabel="MB of a round")
    for panel in (left, right):
        panel.set_xticks(counts, map(str, counts))
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.savefig(target, dpi=100)
    plt.close(figure)
