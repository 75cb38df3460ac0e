"""The planner beside the real server: the same arrivals over sockets and in simulated time.

Every round calibrates, then loads the server at each number of devices, so that a busy moment of a
shared machine hits both. What is compared: the median over rounds of p99, and answers a second. A
bystander tells the rounds in which others kept the processors busy; where there are quiet ones, the
medians are theirs.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from narrows.simulations.events.replica import ReplicaLimits
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.planning.bystander import Bystander
from narrows.simulations.planning.calibrate import Stamps, load_on
from narrows.simulations.planning.replica_load import OpenLoad, serve_open_load
from narrows.simulations.planning.targets import WAITING, Served, Target, target_server

DEVICES = (10, 100, 500)
SETTLE_S = 5.0  # of a run, that is not compared
QUIET_MS = 10.0  # that a bystander's p99 is late, at most
SEEDS = 5  # simulated runs a round; the first has the real one's arrivals


@dataclass(frozen=True)
class Trial:
    """What to compare."""

    server: Served
    devices: tuple[int, ...] = DEVICES
    load: float = 0.5  # of what full batches would give
    rounds: int = 5
    seconds: float = 20.0  # of each real run, and of the calibration before them


def validate(trial: Trial, step: Callable[[str], None]) -> dict[str, Any]:
    """Rows of real and simulated figures by number of devices; `step` says what was done."""
    stamps, real = Stamps(), list[dict[str, Any]]()
    with target_server(trial.server) as target:
        for number in range(trial.rounds):
            own = Stamps()
            own.measure(target, trial.seconds, number)
            stamps.add(own)
            step("calibrated")
            times = own.times(trial.server)
            for devices in trial.devices:
                real.append(_round(trial, target, times, devices, number))
                step(f"{devices} devices")
    times = stamps.times(trial.server)
    rows = [_row(n, [each for each in real if each["devices"] == n]) for n in trial.devices]
    return {"rows": rows, "rounds": real, "times": times}


def _round(
    trial: Trial, target: Target, times: ServiceTimes, devices: int, seed: int
) -> dict[str, Any]:
    """One real run and simulated ones of the same arrivals and of others."""
    rate = trial.load * times.most_per_second()
    with Bystander() as bystander:
        tally = load_on(
            target, scenario="server", seconds=trial.seconds, streams=devices, rate=rate, seed=seed
        )
    settled_ns = (tally["began"] + SETTLE_S) * 1e9  # connections are open, averages learned
    rows = [row for row in tally["stamps"] if row[0] >= settled_ns]
    latencies = [(row[5] - row[0]) / 1e6 for row in rows]
    limits = ReplicaLimits(trial.server.max_batch, WAITING)
    seeds = [seed + 1000 * k for k in range(SEEDS)]
    loads = [OpenLoad(devices, rate, trial.seconds, each, settle_s=SETTLE_S) for each in seeds]
    simulated = [serve_open_load(load, times.replay(Random(load.seed)), limits) for load in loads]
    return {
        "devices": devices, "rate": rate, "frames": len(latencies),
        "bystander_p99_ms": bystander.late_ms(99),
        "real_p50_ms": float(np.percentile(latencies, 50)),
        "real_p99_ms": float(np.percentile(latencies, 99)),
        "real_throughput": len(rows) / (tally["ended"] - tally["began"] - SETTLE_S),
        "real_batch": statistics.fmean(row[6] for row in rows),
        "p50_ms": statistics.median(s.percentile_ms(50) for s in simulated),
        "p99_ms": statistics.median(s.percentile_ms(99) for s in simulated),
        "throughput": simulated[0].throughput,
        "batch": float(simulated[0].batches.mean()),
    }  # fmt: skip


def _row(devices: int, rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over quiet rounds, over all where none was; and how far apart they are."""
    quiet = [each for each in rounds if each["bystander_p99_ms"] <= QUIET_MS]
    keys = [key for key in rounds[0] if key != "devices"]
    row = {key: statistics.median(r[key] for r in quiet or rounds) for key in keys}
    return {"devices": devices, "rounds": len(rounds), "quiet": len(quiet)} | row | {
        "p50_error": row["p50_ms"] / row["real_p50_ms"] - 1,
        "p99_error": row["p99_ms"] / row["real_p99_ms"] - 1,
        "throughput_error": row["throughput"] / row["real_throughput"] - 1,
    }  # fmt: skip
