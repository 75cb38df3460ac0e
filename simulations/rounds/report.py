"""The benchmark's figures: means over seeds, ratios to float32 averaging, tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from narrows.simulations.rounds.run import Asked, Run

ROW = ("accuracy", "bytes_up", "bytes_down", "times_fewer", "times_fewer_up")
EQUAL = 0.005  # of accuracy: half a point


def figures(runs: "Sequence[Run]", asked: "Asked") -> dict[str, Any]:
    """Bytes are those of all rounds and one seed, on average."""
    names = list(dict.fromkeys(run.method for run in runs))
    rows = {name: _row([run for run in runs if run.method == name], asked.last) for name in names}
    plain = rows["fedavg"]
    for row in rows.values():
        row["times_fewer"] = plain["bytes"] / row["bytes"]
        row["times_fewer_up"] = plain["bytes_up"] / max(1, row["bytes_up"])
        row["as_accurate"] = row["accuracy"] >= plain["accuracy"] - EQUAL
    found: dict[str, Any] = {
        "rounds": asked.rounds,
        "clients": asked.clients,
        "clients_a_round": max(2, int(asked.clients * asked.share)),
        "alpha": asked.alpha,
        "seeds": asked.seeds,
        "fedavg_accuracy": plain["accuracy"],
        "fedavg_bytes": plain["bytes"],
    }
    if "ours" in rows:
        ours = rows["ours"]
        found |= {key: ours[key] for key in ROW}
        equal = {n: r for n, r in rows.items() if n.startswith("fixed") and r["as_accurate"]}
        best = min(equal, key=lambda name: float(equal[name]["bytes"]), default=None)
        found["best_fixed"] = best
        found["times_fewer_than_best_fixed"] = (
            None if best is None else rows[best]["bytes"] / ours["bytes"]
        )
    return (
        found
        | {"peers": {name: rows[name] for name in names if name != "ours"}}
        | ({"curves": {name: rows[name].pop("curve") for name in names}})
    )


def print_figures(found: Mapping[str, Any]) -> None:
    """One line a method."""
    heads = ("method", "accuracy", "MB up", "MB down", "times fewer", "times fewer up")
    title = (
        f"{found['rounds']} rounds, {found['clients_a_round']} of {found['clients']} clients each, "
        f"Dirichlet {found['alpha']:g}, means of {found['seeds']} seeds"
    )
    table = Table(*heads, title=title, title_justify="left")
    ours = {"ours": found} if "accuracy" in found else {}
    for name, row in {**found["peers"], **ours}.items():
        table.add_row(
            name, f"{row['accuracy']:.1%}", f"{row['bytes_up'] / 1e6:.2f}",
            f"{row['bytes_down'] / 1e6:.2f}", f"{row['times_fewer']:.1f}",
            f"{row['times_fewer_up']:.1f}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    if found.get("times_fewer_than_best_fixed"):
        console.print(
            f"ours: {found['times_fewer_than_best_fixed']:.2f} times fewer bytes than "
            f"{found['best_fixed']}, the best fixed setting within half a point of fedavg"
        )
    console.print("lgreco, compeft: bytes up by their papers' rules, float32 down")


def _row(runs: "Sequence[Run]", last: int) -> dict[str, Any]:
    by_seed = [statistics.mean(run.accuracies[-last:]) for run in runs]
    up, down = (statistics.mean(values) for values in
                ([r.bytes_up for r in runs], [r.bytes_down for r in runs]))  # fmt: skip
    curve = [
        {"bytes": statistics.mean(r.sent[n] for r in runs),
         "accuracy": statistics.mean(r.accuracies[n] for r in runs)}
        for n in range(len(runs[0].sent))
    ]  # fmt: skip
    return {
        "accuracy": statistics.mean(by_seed),
        "accuracy_by_seed": by_seed,
        "bytes_up": up,
        "bytes_down": down,
        "bytes": up + down,
        "curve": curve,
    }
