"""From one replica's curve to a fleet of any size.

Devices come to replicas blindly, so a replica of a fleet has more or fewer than the mean: in a
large fleet their number is Poisson. Replicas are added until all but one in a thousand have no more
devices than keep p99 within the deadline. The fleet's p99 is that of all its frames: replicas'
curves, weighted by how many replicas have so many devices and how many frames those send.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.events.world import ANSWER_BYTES, FRAMING_BYTES
from narrows.simulations.planning.curve import QUANTILES, Curve, Need

SURE = 0.999  # of replicas have no more devices than they can take
FILLED = 0.7  # of an event loop's time, a GPU's and an uplink's


@dataclass(frozen=True)
class Fleet:
    """What a number of devices needs."""

    devices: int
    replicas: int
    devices_per_replica: float
    ingresses: int  # event loops that keep up with the frames; every replica brings one
    cores: int  # for tails that run on them, and for event loops
    gpus: int
    uplink_gbit_s: float  # all devices' packets, with framing
    downlink_gbit_s: float  # answers
    p99_ms: float
    missed: float  # share of frames refused or late

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return dict(vars(self))


def fleet_of(
    devices: int, need: Need, curve: Curve, times: ServiceTimes, packet_bytes: float
) -> Fleet:
    """Sizes of everything. `devices`: of the whole fleet."""
    rate = devices * need.fps
    replicas = replicas_for(devices, curve.capacity)
    mean = devices / replicas
    p99_ms, missed = _mixture(mean, replicas, need, curve)
    busy = float(np.interp(mean, [p.devices for p in curve.points], [p.busy for p in curve.points]))
    on_gpu = times.device == "cuda"
    ingresses = max(1, math.ceil(rate * times.loop_ms / 1e3 / FILLED))
    return Fleet(
        devices, replicas, mean,
        ingresses=ingresses, cores=ingresses + (0 if on_gpu else replicas * times.threads),
        gpus=math.ceil(replicas * busy / FILLED) if on_gpu else 0,
        uplink_gbit_s=rate * (packet_bytes + FRAMING_BYTES) * 8 / 1e9,
        downlink_gbit_s=rate * ANSWER_BYTES * 8 / 1e9,
        p99_ms=p99_ms, missed=missed,
    )  # fmt: skip


def replicas_for(devices: int, capacity: float) -> int:
    """The fewest whose busiest but one in a thousand has at most `capacity` devices.

    With n devices on average the number is about normal with variance n (1 - 1/replicas): solve
    n + z sqrt(n) = capacity. One device for each replica is the least.
    """
    if devices <= capacity:
        return 1
    z = NormalDist().inv_cdf(SURE)
    replicas = max(2, math.ceil(devices / max(capacity, 1e-9)))
    while replicas < devices:
        spread = math.sqrt(devices / replicas * (1 - 1 / replicas))
        if devices / replicas + z * spread <= capacity:
            break
        replicas = max(replicas + 1, math.ceil(replicas * 1.002))
    return replicas


def _mixture(mean: float, replicas: int, need: Need, curve: Curve) -> tuple[float, float]:
    """(p99 in ms, share of frames that miss) over replicas whose devices are Poisson(mean).

    A lone replica has them all.
    """
    spread = 4 * math.sqrt(mean) + 1 if replicas > 1 else 0
    counts = np.arange(max(1, math.floor(mean - spread)), math.ceil(mean + spread) + 1)
    logs = counts * math.log(mean) - mean - np.array([math.lgamma(n + 1) for n in counts])
    weights = counts * np.exp(logs)  # by the frames they send
    loads = np.array([point.devices for point in curve.points])
    nearest = np.abs(counts[:, None] - loads[None, :]).argmin(axis=1)
    latencies = np.concatenate([curve.points[index].quantiles_ms for index in nearest])
    shares = np.repeat(weights / weights.sum() / len(QUANTILES), len(QUANTILES))
    order = np.argsort(latencies)
    below = np.cumsum(shares[order])
    p99 = float(latencies[order][np.searchsorted(below, 0.99).clip(max=len(order) - 1)])
    return p99, float(shares[latencies > need.deadline_ms].sum())
