"""What `narrows bench prompt` shows: a table for the terminal, and curves against traffic."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

WAYS = {"split": "split, prompts", "full": "all weights", "probe": "linear probe, whole network"}


def print_prompt(found: Mapping[str, Any]) -> None:
    """Each way's end, as it is and over full fine-tuning's."""
    asked, full = found["asked"], found["rounds"]["full"][-1]
    table = Table(
        "", "accuracy", "device G multiply-adds", "of full", "MB up", "MB down", "of full",
        title=f"{asked['rounds']} rounds of {asked['epochs']} epochs, {asked['clients']} devices, "
        f"{found['photographs']} photographs of {found['labels']} classes, {asked['side']} pixels",
        caption=f"scored on {found['held_out']} photographs of no device; SFPrompt's paper: "
        f"{found['paper']['device_arithmetic_ratio']:.2%} of the arithmetic, "
        f"{found['paper']['traffic_ratio']:.0%} of the traffic",
    )  # fmt: skip
    for key, name in WAYS.items():
        way = found["rounds"][key][-1]
        traffic = _traffic(way) / _traffic(full)
        table.add_row(
            name, f"{way['accuracy']:.1%}", f"{way['multiply_adds'] / 1e9:,.1f}",
            f"{way['multiply_adds'] / full['multiply_adds']:.2%}", f"{way['bytes_up'] / 1e6:,.1f}",
            f"{way['bytes_down'] / 1e6:,.1f}", f"{traffic:.1%}",
        )  # fmt: skip
    Console().print(table)


def draw_prompt(found: Mapping[str, Any], target: Path) -> None:
    """Accuracy after every round against bytes and against devices' multiply-adds, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for key, name in WAYS.items():
        ways = found["rounds"][key]
        accuracy = [way["accuracy"] for way in ways]
        panels[0].plot([_traffic(way) / 1e6 for way in ways], accuracy, "o-", ms=3, label=name)
        panels[1].plot([way["multiply_adds"] / 1e9 for way in ways], accuracy, "o-", ms=3)
    panels[0].set(xlabel="MB up and down, all devices", ylabel="accuracy", xscale="log")
    panels[1].set(xlabel="G multiply-adds of all devices", xscale="log")
    panels[0].legend(fontsize=8)
    for panel in panels:
        panel.grid(alpha=0.3)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _traffic(way: Mapping[str, float]) -> float:
    return way["bytes_up"] + way["bytes_down"]
