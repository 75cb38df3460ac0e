"""The queueing curve of one replica: what its devices wait for as there are more of them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError
from narrows.simulations.events.replica import ReplicaLimits
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.planning.replica_load import OpenLoad, Served, serve_open_load

FRAMES = 12_000  # of a simulated load: 120 of them beyond p99
GRID = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4)  # of the capacity
QUANTILES = np.linspace(0.0, 1.0, 401)
SEEDS = 3  # a load's runs while the capacity is looked for
NEAR = 0.02  # of the capacity: how well it is found

Step = Callable[[], None]


@dataclass(frozen=True)
class Need:
    """What devices ask of a replica."""

    fps: float  # of each
    deadline_ms: float  # from when a frame is due
    outside_ms: float  # of it, that the device and its link take


@dataclass(frozen=True)
class Point:
    """One load of the curve; latencies are whole ones, with the device and its link."""

    devices: float
    rate: float
    p50_ms: float
    p99_ms: float  # infinite where more than one in a hundred is refused
    answered: float  # share of frames
    throughput: float
    busy: float
    mean_batch: float
    quantiles_ms: NDArray[np.float64]  # at QUANTILES, refused ones infinite


@dataclass(frozen=True)
class Curve:
    """Points by rising load, and the most devices whose p99 is within the deadline."""

    points: tuple[Point, ...]
    capacity: float  # devices


def queueing_curve(
    need: Need, times: ServiceTimes, max_batch: int, seed: int, step: Step = lambda: None
) -> Curve:
    """Find the capacity by halving, then draw the curve around it. Same seed, same curve.

    Raises:
        ConfigError: not even a lone device's p99 is within the deadline.
    """
    capacity = _capacity(need, times, max_batch, seed, step)
    points = []
    for share in GRID:
        points.append(_point(need, times, max_batch, share * capacity, seed))
        step()
    return Curve(tuple(points), capacity)


def _capacity(need: Need, times: ServiceTimes, max_batch: int, seed: int, step: Step) -> float:
    """Devices, as a real number: fewer than one means that a replica keeps up with no device."""
    low, high = 0.0, 1.3 * times.most_per_second() / need.fps

    def fits(devices: float) -> bool:
        step()
        found = [_point(need, times, max_batch, devices, seed + n).p99_ms for n in range(SEEDS)]
        return float(np.median(found)) <= need.deadline_ms

    if not fits(high / 1000):
        lone = _point(need, times, max_batch, high / 1000, seed).p99_ms
        raise ConfigError(
            f"deadline {need.deadline_ms:g} ms: a nearly idle replica's p99 is {lone:.0f} ms, of "
            f"which device and link take {need.outside_ms:.0f} ms: allow more, or serve faster"
        )
    while high - low > NEAR * high:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _point(need: Need, times: ServiceTimes, max_batch: int, devices: float, seed: int) -> Point:
    rate = devices * need.fps
    load = OpenLoad(
        max(1, round(devices)), rate, FRAMES / rate, seed, need.deadline_ms - need.outside_ms
    )
    served = serve_open_load(load, times.replay(Random(seed)), ReplicaLimits(max_batch))
    quantiles = _quantiles(served, need.outside_ms)
    frames = len(served.latency_ms) + served.refused
    return Point(
        devices, rate, float(np.interp(0.5, QUANTILES, quantiles)),
        served.percentile_ms(99) + need.outside_ms, len(served.latency_ms) / max(1, frames),
        served.throughput, served.busy, float(served.batches.mean()) if frames else 0.0, quantiles,
    )  # fmt: skip


def _quantiles(served: Served, outside_ms: float) -> NDArray[np.float64]:
    every = np.append(served.latency_ms, np.full(served.refused, np.inf))
    return np.quantile(every, QUANTILES, method="higher") + outside_ms
