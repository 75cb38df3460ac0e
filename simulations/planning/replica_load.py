"""One replica in simulated time under frames at random moments: what an open load does to it."""

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from narrows.simulations.events.arrivals import poisson
from narrows.simulations.events.clock import Clock, Process
from narrows.simulations.events.replica import (
    ReplicaLimits,
    SimulatedFrame,
    SimulatedReplica,
    Times,
)


@dataclass(frozen=True)
class OpenLoad:
    """Frames that come whether or not others were answered."""

    devices: int
    rate: float  # a second, of all devices
    seconds: float
    seed: int = 0
    deadline_ms: float | None = None  # None: the replica refuses nothing for want of time
    settle_s: float = 0.0  # frames due before that are served, not counted


@dataclass(frozen=True)
class Served:
    """What became of an open load."""

    latency_ms: NDArray[np.float64]  # of answered frames, from when each was due
    refused: int
    seconds: float  # from settling until the last frame was back
    batches: NDArray[np.int64]  # of how many frames each answered frame's batch was
    busy: float  # share of the time in which the worker worked

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latency_ms) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Of all frames: one that was refused never had its answer."""
        every = np.append(self.latency_ms, np.full(self.refused, np.inf))
        return float(np.percentile(every, percent, method="higher")) if len(every) else 0.0


def serve_open_load(load: OpenLoad, times: Times, limits: ReplicaLimits) -> Served:
    """Run it to the last answer; the same seed is the same run."""
    clock, rng = Clock(), Random(load.seed ^ 0x5EED)
    latencies: list[float] = []
    batches: list[int] = []
    refused, settle_ns = 0, load.settle_s * 1e9

    def settled(frame: SimulatedFrame, status: str) -> None:
        nonlocal refused
        if frame.due_ns < settle_ns:
            return
        if status == "OK":
            latencies.append((clock.now_ns - frame.due_ns) / 1e6)
            batches.append(frame.batch)
        else:
            refused += 1

    replica = SimulatedReplica(clock, times, limits, rng, settled)
    clock.begin(_arrivals(clock, replica, load))
    clock.run()
    seconds = max(clock.now_ns / 1e9, load.seconds)
    return Served(
        np.array(latencies), refused, seconds - load.settle_s, np.array(batches, np.int64),
        replica.busy_ns / 1e9 / seconds,
    )  # fmt: skip


def _arrivals(clock: Clock, replica: SimulatedReplica, load: OpenLoad) -> Process:
    names = [str(number) for number in range(load.devices)]
    patience_ns = None if load.deadline_ms is None else round(load.deadline_ms * 1e6)
    for at_s, number in poisson(load.rate, load.devices, load.seconds, load.seed):
        due_ns = round(at_s * 1e9)
        yield clock.wait(due_ns - clock.now_ns)
        replica.send(SimulatedFrame(names[number], due_ns, patience_ns=patience_ns))
