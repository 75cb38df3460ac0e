"""The planner beside the real server: the same arrivals over sockets and in simulated time.

Every round calibrates, then loads the server at each number of devices, so that a busy moment of a
shared machine hits both. What is compared: the median over rounds of p99, and answers a second.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.simulations.bench.load import write_packets
from narrows.simulations.bench.serving import packets_of, serving
from narrows.simulations.events.replica import ReplicaLimits
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.planning.calibrate import Stamps, Target, load_on
from narrows.simulations.planning.replica_load import OpenLoad, serve_open_load

DEVICES = (10, 100, 500)
WAITING = 1024  # more than any of these loads queue
SEEDS = 5  # simulated runs a round; the first has the real one's arrivals


@dataclass(frozen=True)
class Trial:
    """What to compare."""

    bundle: Path
    devices: tuple[int, ...] = DEVICES
    load: float = 0.5  # of what full batches would give
    rounds: int = 5
    seconds: float = 8.0  # of each real run
    calibration_s: float = 10.0  # a round
    max_batch: int = 16
    threads: int = 1
    point: int = 0


@contextmanager
def calibrated_server(bundle: Path, point: int, max_batch: int, threads: int) -> Iterator[Target]:
    """A replica in a process of its own, and packets to send to it. Raises LinkError."""
    options = (
        "--executor", "local", "--threads", str(threads), "--max-batch", str(max_batch),
        "--max-waiting", str(WAITING), "--log-level", "warning",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        packets = Path(scratch) / "packets"
        write_packets(packets, packets_of(bundle, point))
        with serving(bundle, *options) as ready:
            yield Target(ready["address"], tuple(ready["replicas"]), packets, max_batch)


def validate(trial: Trial, step: Callable[[str], None]) -> dict[str, Any]:
    """Rows of real and simulated figures by number of devices; `step` says what was done."""
    stamps, real = Stamps(), list[dict[str, Any]]()
    with calibrated_server(trial.bundle, trial.point, trial.max_batch, trial.threads) as target:
        for number in range(trial.rounds):
            own = Stamps()
            own.measure(target, trial.calibration_s, number)
            stamps.add(own)
            step("calibrated")
            times = own.times(trial.bundle, trial.threads, trial.max_batch, "cpu")
            for devices in trial.devices:
                real.append(_round(trial, target, times, devices, number))
                step(f"{devices} devices")
    times = stamps.times(trial.bundle, trial.threads, trial.max_batch, "cpu")
    rows = [_row(devices, [r for r in real if r["devices"] == devices]) for devices in trial.devices]
    return {"rows": rows, "rounds": real, "times": times}


def _round(
    trial: Trial, target: Target, times: ServiceTimes, devices: int, seed: int
) -> dict[str, Any]:
    """One real run and simulated ones of the same arrivals and of others."""
    rate = trial.load * times.most_per_second()
    tally = load_on(
        target, scenario="server", seconds=trial.seconds, streams=devices, rate=rate, seed=seed
    )
    latencies = [(row[5] - row[0]) / 1e6 for row in tally["stamps"]]
    limits = ReplicaLimits(trial.max_batch, WAITING)
    simulated = [
        serve_open_load(OpenLoad(devices, rate, trial.seconds, seed + 1000 * k), times, limits)
        for k in range(SEEDS)
    ]
    return {
        "devices": devices, "rate": rate, "frames": len(latencies),
        "real_p50_ms": float(np.percentile(latencies, 50)),
        "real_p99_ms": float(np.percentile(latencies, 99)),
        "real_throughput": tally["answered"] / (tally["ended"] - tally["began"]),
        "real_batch": statistics.fmean(tally["batches"]),
        "p50_ms": statistics.median(s.percentile_ms(50) for s in simulated),
        "p99_ms": statistics.median(s.percentile_ms(99) for s in simulated),
        "throughput": simulated[0].throughput,
        "batch": float(simulated[0].batches.mean()),
    }  # fmt: skip


def _row(devices: int, rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds, and how far the simulated ones are from the real ones."""
    keys = [key for key in rounds[0] if key != "devices"]
    row = {key: statistics.median(r[key] for r in rounds) for key in keys}
    return {"devices": devices} | row | {
        "p50_error": row["p50_ms"] / row["real_p50_ms"] - 1,
        "p99_error": row["p99_ms"] / row["real_p99_ms"] - 1,
        "throughput_error": row["throughput"] / row["real_throughput"] - 1,
    }  # fmt: skip
