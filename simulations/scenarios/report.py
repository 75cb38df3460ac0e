"""A run as a page: latencies over time and as a curve, and the figures of every way."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from narrows.simulations.scenarios.figures import Columns
from narrows.simulations.scenarios.scenario import Scenario

matplotlib.use("Agg")
from matplotlib import pyplot as plt

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}img{max-width:100%}"
    "td,th{padding:.2em .8em;text-align:right}"
)
SHOWN = (
    "frames", "answered", "by_device", "missed_deadline", "p50_ms", "p95_ms", "p99_ms", "accuracy",
    "in_time_accuracy", "accuracy_source", "bytes_per_frame", "joules_per_frame", "energy_source",
)  # fmt: skip
MOST_DOTS = 20_000


def write_report(
    folder: Path, scenario: Scenario, columns: Columns, result: Mapping[str, Any]
) -> None:
    """Write `folder/report.html` and its picture `frames.png`; opens nothing."""
    _picture(folder / "frames.png", scenario, columns)
    (folder / "report.html").write_text(_page(scenario, result))


def _picture(target: Path, scenario: Scenario, columns: Columns) -> None:
    figure, (over_time, curve) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(2, 1))
    ways = np.array(columns["way"])
    due_s = np.array(columns["due_ms"], np.float64) / 1e3
    latency = np.array([np.nan if v is None else v for v in columns["latency_ms"]], np.float64)
    for way in dict.fromkeys(columns["way"]):
        mine = ways == way
        every = max(1, int(mine.sum()) // MOST_DOTS)
        over_time.plot(due_s[mine][::every], latency[mine][::every], ".", markersize=2, label=way)
        answered = np.sort(latency[mine][~np.isnan(latency[mine])])
        share = np.arange(1, len(answered) + 1) / max(1, mine.sum())
        curve.plot(answered, 100 * share, label=way)
    for fault in scenario.faults:
        over_time.axvspan(fault.at_s, fault.at_s + fault.for_s, color="tab:red", alpha=0.12)
    over_time.axhline(scenario.deadline_ms, color="grey", linewidth=1)
    curve.axvline(scenario.deadline_ms, color="grey", linewidth=1)
    over_time.set(xlabel="second at which a frame was due; red: a fault", ylabel="latency, ms")
    curve.set(xlabel="latency, ms; grey: the deadline", ylabel="frames answered by then, %")
    for axes in (over_time, curve):
        axes.grid(alpha=0.3)
    curve.legend()
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _page(scenario: Scenario, result: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(key.replace('_', ' '))}</th>"
        + "".join(f"<td>{_shown(part[key])}</td>" for part in result["ways"].values())
        + "</tr>"
        for key in SHOWN
    )
    names = "".join(f"<th>{html.escape(way)}</th>" for way in result["ways"])
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(scenario.name)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(scenario.name)}</h1>"
        f"<p>{html.escape(scenario.about)}</p>"
        f"<p>{scenario.devices:,} devices, {scenario.seconds:g} s, deadline "
        f"{scenario.deadline_ms} ms, in simulated time.</p>"
        f"<img src=frames.png alt='latencies'><table><tr><th></th>{names}</tr>{rows}</table>"
        "<p>Every frame: events.parquet. What was asked for: config.json.</p>"
    )


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return html.escape(f"{value:,.3g}" if isinstance(value, float) else f"{value}")
