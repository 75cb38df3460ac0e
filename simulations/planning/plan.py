"""`narrows plan`: what a fleet of so many devices needs, and the curve it follows from."""

import json
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.events.world import ANSWER_BYTES, FRAMING_BYTES
from narrows.simulations.links.spec import LinkSpec
from narrows.simulations.planning.curve import GRID, Curve, Need, queueing_curve
from narrows.simulations.planning.fleet import Fleet, fleet_of
from narrows.simulations.planning.kept_times import measure_and_keep, service_times
from narrows.simulations.planning.targets import Served

HALVINGS = 8  # about so many loads are tried for the capacity


@dataclass(frozen=True)
class Asked:
    """What the command was given."""

    bundle: Path
    devices: int
    fps: float
    deadline_ms: float
    point: int
    link: str | None
    cpu_share: float
    max_batch: int
    threads: int
    seed: int
    service: Path | None
    calibrate: bool
    plot: Path | None


@dataclass(frozen=True)
class Plan:
    """What was planned."""

    need: Need
    curve: Curve
    fleet: Fleet
    seconds: float


def run_plan(asked: Asked, as_json: bool) -> dict[str, Any]:
    """Measure where nothing is kept, plan, print. Raises NarrowsError."""
    console = Console(stderr=as_json)
    if asked.calibrate:
        measure_and_keep(Served(asked.bundle, asked.max_batch, asked.threads), console)
    times = service_times(asked.service, asked.bundle, asked.threads, asked.max_batch, console)
    with Progress(console=console, transient=True, disable=as_json) as bar:
        task = bar.add_task("simulating a replica", total=len(GRID) + HALVINGS)
        found = plan(asked, times, lambda: bar.advance(task))
    result = _json(asked, found, times)
    if asked.plot is not None:
        from narrows.simulations.planning.plan_plot import draw

        draw(asked.plot, found)
    print(json.dumps(result)) if as_json else _print(console, asked, found, times)
    return result


def plan(asked: Asked, times: ServiceTimes, step: Any = lambda: None) -> Plan:
    """The plan itself; the same seed gives the same. Raises ConfigError where none is possible."""
    began = perf_counter()
    size = _packet_bytes(asked)
    need = Need(asked.fps, asked.deadline_ms, _outside_ms(asked, times, size))
    if need.outside_ms >= need.deadline_ms:
        raise ConfigError(
            f"deadline {need.deadline_ms:g} ms: device and link alone take {need.outside_ms:.0f} ms"
        )
    curve = queueing_curve(need, times, asked.max_batch, asked.seed, step)
    fleet = fleet_of(asked.devices, need, curve, times, size)
    return Plan(need, curve, fleet, perf_counter() - began)


def _packet_bytes(asked: Asked) -> float:
    points = {p.id: p.packet_bytes for p in Manifest.load(asked.bundle).operating_points}
    if asked.point not in points:
        raise ConfigError(f"--point {asked.point}: the bundle has {', '.join(map(str, points))}")
    return points[asked.point]


def _outside_ms(asked: Asked, times: ServiceTimes, size: float) -> float:
    """Features on the device, and the link both ways where one is named."""
    head_ms = times.head_ms / asked.cpu_share
    if asked.link is None:
        return head_ms
    link = LinkSpec.parse(asked.link)
    bits = (size + FRAMING_BYTES + ANSWER_BYTES) * 8
    return head_ms + 2 * link.delay_ms + 1e3 * bits / link.rate_bits


def _json(asked: Asked, found: Plan, times: ServiceTimes) -> dict[str, Any]:
    curve = [
        {key: value for key, value in vars(point).items() if key != "quantiles_ms"}
        for point in found.curve.points
    ]
    return found.fleet.to_json() | {
        "fps": asked.fps, "deadline_ms": asked.deadline_ms, "outside_ms": found.need.outside_ms,
        "capacity_devices": found.curve.capacity, "curve": _finite(curve),
        "seconds_to_compute": found.seconds, "measured": {
            "machine": times.machine, "date": times.date, "device": times.device,
            "threads": times.threads, "most_per_second": times.most_per_second(),
            "loop_ms": times.loop_ms, "head_ms": times.head_ms,
        },
    }  # fmt: skip


def _finite(curve: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """JSON has no infinity: null where more than a hundredth is refused."""
    return [
        {key: None if value == float("inf") else value for key, value in point.items()}
        for point in curve
    ]


def _print(console: Console, asked: Asked, found: Plan, times: ServiceTimes) -> None:
    fleet, need = found.fleet, found.need
    table = Table("need", "how many", title=f"{asked.devices:,} devices at {asked.fps:g} frames/s")
    table.add_row("replicas", f"{fleet.replicas:,} of {fleet.devices_per_replica:.1f} devices")
    table.add_row("ingress event loops", f"{fleet.ingresses:,}; every replica brings one")
    table.add_row("cores", f"{fleet.cores:,}")
    table.add_row("GPUs", f"{fleet.gpus:,}" + ("" if fleet.gpus else ": the tail runs on cores"))
    table.add_row("uplink, Gbit/s", f"{fleet.uplink_gbit_s:.2f}")
    table.add_row("downlink, Gbit/s", f"{fleet.downlink_gbit_s:.2f}")
    table.add_row("p99, ms", f"{fleet.p99_ms:.0f} of {need.deadline_ms:g}")
    table.add_row("frames refused or late", f"{100 * fleet.missed:.2f} %")
    console.print(table)
    curve = Table("devices", "frames/s", "p50, ms", "p99, ms", "answered", "worker busy", "batch",
                  title="one replica")  # fmt: skip
    for point in found.curve.points:
        curve.add_row(
            f"{point.devices:.1f}", f"{point.rate:.0f}", f"{point.p50_ms:.1f}",
            f"{point.p99_ms:.1f}", f"{100 * point.answered:.1f} %", f"{100 * point.busy:.0f} %",
            f"{point.mean_batch:.1f}",
        )  # fmt: skip
    console.print(curve)
    console.print(
        f"device and link take {need.outside_ms:.1f} ms of the deadline; service times of "
        f"{times.machine.get('cpu')}, {times.date}; computed in {found.seconds:.1f} s"
    )
