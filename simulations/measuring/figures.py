"""From runs to figures: latency, bytes and energy by stage, accuracy, what the server spent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import mean, median
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
        "shown": str(runs[0].cell),
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
    up, down = (_carried(runs, way) for way in ("up", "down"))
    return {
        **{name: _a_frame(sum(row[f"{name}_bytes"] for row in rows), len(rows)) for name in SENT},
        "link_up": None if up is None else _a_frame(up, len(rows)),
        "link_down": None if down is None else _a_frame(down, len(rows)),
    }


def _carried(runs: Sequence[Run], way: str) -> int | None:
    """Bytes on the link, `up` or `down`; None where there was none to count them."""
    counts = [getattr(run.line, f"{way}_bytes") for run in runs]
    return None if None in counts else sum(counts)


def _computing_s(rows: Sequence[Row]) -> dict[str, float]:
    """Of each stage in which a device computes: its median by the clock, for all frames.

    A mean would charge a stage for what interrupted it.
    """
    found = {}
    for stage in COMPUTING:
        values = [row[f"{stage}_ms"] for row in rows if row[f"{stage}_ms"] is not None]
        if values:
            found[stage] = median(values) * len(values) / 1e3
    return found


def _energy(
    rows: Sequence[Row], runs: Sequence[Run], spent: Spent | None, sensing: Sensing
) -> dict[str, Any]:
    machine_j = None if spent is None else spent.joules[0] / spent.frames
    rate = None if spent is None else rate_of(sensing.sensors[0], 0, spent, sensing.rest)
    if rate is None:
        return _joules(None, {}, machine_j)
    up_bytes, down_bytes = (_carried(runs, way) or 0 for way in ("up", "down"))
    cpu_s = sum(run.cpu_s for run in runs)
    work = Work(len(rows), cpu_s, _computing_s(rows), up_bytes, down_bytes)
    stages = joules_by_stage(rate, work, radio_of(runs[0].cell.link))
    return _joules(sum(stages.values()), stages, machine_j)


def _joules(frame_j: float | None, stages: dict[str, float], machine_j: float | None) -> dict:
    return {"joules_per_frame": frame_j, "stages": stages, "machine_joules_per_frame": machine_j}


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
