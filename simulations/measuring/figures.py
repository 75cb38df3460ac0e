"""From runs to figures: latency, bytes and energy by stage, accuracy, what the server spent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import mean
from typing import Any

import numpy as np

from narrows.edge.energy.boards import radio_of
from narrows.edge.energy.sensor import Sensor
from narrows.simulations.measuring.cell import Run
from narrows.simulations.measuring.events import ALL_STAGES, Row
from narrows.simulations.measuring.spending import COMPUTING, Work, joules_by_stage, rate_of
from narrows.simulations.measuring.window import Spent

SHARES = {"p50": 50, "p90": 90, "p99": 99}
SENT = ("payload", "framing", "wire")


@dataclass(frozen=True)
class Sensing:
    """Sensors, and what they saw at rest. The first is the device's; the others are GPUs'."""

    sensors: Sequence[Sensor]
    rest: Spent


def figures_of(runs: Sequence[Run], sensing: Sensing) -> dict[str, Any]:
    """Of all runs of one cell, as a JSON object."""
    rows = [row for run in runs for row in run.rows]
    answered = [row for row in rows if row["status"] == "OK"]
    failed = Counter(row["status"] for row in rows if row["status"] != "OK")
    known = [row["correct"] for row in rows if row["correct"] is not None]
    spent = _together(runs)
    return {
        "link": runs[0].cell.link,
        "choice": runs[0].cell.choice.name,
        "shown": str(runs[0].cell.choice),
        "frames": len(rows),
        "answered": len(answered),
        "errors": dict(sorted(failed.items())),
        "lost": sum(run.lost for run in runs),
        "skipped": sum(run.skipped for run in runs),
        "accuracy": mean(known) if known else None,
        "latency_ms": _latency(answered),
        "bytes": _bytes(rows, runs),
        "energy": _energy(rows, runs, spent, sensing),
        "device": {
            "cpu_ms_per_frame": _a_frame(1e3 * sum(run.cpu_s for run in runs), len(rows)),
            "peak_memory_bytes": max(run.peak_bytes for run in runs),
        },
        "server": _server(answered, spent, sensing),
    }


def _together(runs: Sequence[Run]) -> Spent | None:
    found = [run.spent for run in runs if run.spent is not None]
    return reduce(add, found) if found else None


def _latency(answered: Sequence[Row]) -> dict[str, Any]:
    """Of settled frames; of all where there are no others."""
    rows = [row for row in answered if row["settled"]] or answered
    stages = {
        stage: _quantiles([row[f"{stage}_ms"] for row in rows])
        for stage in ALL_STAGES
        if rows and rows[0][f"{stage}_ms"] is not None
    }
    return _quantiles([row["latency_ms"] for row in rows]) | {"stages": stages}


def _quantiles(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return dict.fromkeys(SHARES)
    found = np.percentile(values, list(SHARES.values()))
    return {name: round(float(v), 3) for name, v in zip(SHARES, found, strict=True)}


def _bytes(rows: Sequence[Row], runs: Sequence[Run]) -> dict[str, float | None]:
    """A frame's; `link_up` and `link_down` are all that the link carried, connecting included."""
    up, down = (
        [count for run in runs if (count := getattr(run.line, f"{way}_bytes")) is not None]
        for way in ("up", "down")
    )
    return {
        **{name: _a_frame(sum(row[f"{name}_bytes"] for row in rows), len(rows)) for name in SENT},
        "link_up": _a_frame(sum(up), len(rows)) if up else None,
        "link_down": _a_frame(sum(down), len(rows)) if down else None,
    }


def _energy(
    rows: Sequence[Row], runs: Sequence[Run], spent: Spent | None, sensing: Sensing
) -> dict[str, Any]:
    nothing = {"joules_per_frame": None, "stages": {}, "machine_joules_per_frame": None}
    rate = None if spent is None else rate_of(sensing.sensors[0], 0, spent, sensing.rest)
    if rate is None or spent is None:
        return nothing
    work = Work(
        len(rows),
        sum(run.cpu_s for run in runs),
        {
            stage: sum(row[f"{stage}_ms"] for row in rows if row[f"{stage}_ms"] is not None) / 1e3
            for stage in COMPUTING
            if any(row[f"{stage}_ms"] is not None for row in rows)
        },
        sum(run.line.up_bytes or 0 for run in runs),
        sum(run.line.down_bytes or 0 for run in runs),
    )
    stages = joules_by_stage(rate, work, radio_of(runs[0].cell.link))
    return {
        "joules_per_frame": sum(stages.values()),
        "stages": stages,
        "machine_joules_per_frame": spent.joules[0] / spent.frames,
    }


def _server(answered: Sequence[Row], spent: Spent | None, sensing: Sensing) -> dict[str, Any]:
    batches = [row["batch"] for row in answered if row["batch"]]
    return {
        "cpu_ms_per_frame": None if spent is None else 1e3 * spent.server_s / spent.frames,
        "gpu_joules_per_frame": None if spent is None else _gpu_joules(spent, sensing),
        "batch": mean(batches) if batches else None,
    }


def _gpu_joules(spent: Spent, sensing: Sensing) -> float | None:
    """Above rest; None without a GPU's sensor."""
    share = spent.seconds / sensing.rest.seconds
    gpus = [
        spent.joules[place] - sensing.rest.joules[place] * share
        for place, sensor in enumerate(sensing.sensors)
        if sensor.about.part == "gpu"
    ]
    return sum(max(0.0, joules) for joules in gpus) / spent.frames if gpus else None


def _a_frame(total: float, frames: int) -> float | None:
    return total / frames if frames else None
