"""`narrows bench offload`: the comparisons of Ladon and Furcifer, in simulated time.

Ladon (WACV 2025) sets device, upload and split beside each other over thin links; Furcifer adds
thirty clients at one access point. Bytes and accuracy are measured on photographs, service times on
this machine; links, devices and their watts are those of three shipped scenarios.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from narrows.errors import ConfigError
from narrows.simulations.bench.race import machine
from narrows.simulations.evaluation import QUALITIES
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.events.ways import Known
from narrows.simulations.offload.equal import compared, counterparts
from narrows.simulations.planning.kept_times import service_times
from narrows.simulations.scenarios.figures import Columns, result_of
from narrows.simulations.scenarios.in_time import simulate_in_time
from narrows.simulations.scenarios.photographs import Photographs, known_on
from narrows.simulations.scenarios.scenario import Scenario, load_scenario

FRAMES = 1200  # of a way, or LEAST_S, whichever is longer
LEAST_S = 120.0
SHOWN = (8, 30, 60, 90)  # JPEG qualities beside those that a point is held against


@dataclass(frozen=True)
class Asked:
    """The command's options."""

    bundle: Path
    photographs: Photographs
    links: tuple[str, ...]  # scenarios
    clients: tuple[int, ...]
    seed: int
    service: Path | None


@dataclass(frozen=True)
class Setup:
    """How many clients, and whether they have one line."""

    clients: int
    shared: bool


def run_offload_bench(asked: Asked, as_json: bool, plot: Path | None) -> None:
    """Measure, simulate, print, plot. Raises NarrowsError."""
    console = Console(stderr=True)
    scenarios = [_of_one_class(link) for link in asked.links]
    server = scenarios[0].server
    times = service_times(asked.service, asked.bundle, server.threads, server.max_batch, console)
    known, photographs = known_on(asked.bundle, asked.photographs, QUALITIES, console)
    setups = list(_setups(asked.clients))
    rows = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=len(scenarios) * len(setups))
        for told in scenarios:
            for setup in setups:
                rows.append(simulated(told, setup, asked.bundle, known, times, asked.seed))
                bar.advance(task)
    found = {
        "bundle": known.name, "data": asked.photographs.data.name, "photographs": photographs,
        "machine": machine(), "measured": {"machine": times.machine, "date": times.date},
        "rows": rows,
    }  # fmt: skip
    if plot is not None:
        from narrows.simulations.offload.plot import draw

        draw(found, plot)
    if as_json:
        print(json.dumps(found))
        return
    from narrows.simulations.offload.report import print_tables

    print_tables(found)


def _of_one_class(name: str) -> Scenario:
    told = load_scenario(name)
    if len(told.classes) != 1:
        raise ConfigError(
            f"--links {name}: a scenario of {len(told.classes)} classes of devices: expected one, "
            "as wifi, lte or lora"
        )
    return told


def ways_of(known: Known) -> tuple[str, ...]:
    """Every way that is run: the device alone, all points, some pictures, the policy."""
    held = {picture.level for picture in counterparts(known).values() if picture is not None}
    measured = {choice.level for choice in known.menu if choice.kind == "image"}
    points = [f"fixed:{choice.level}" for choice in known.menu if choice.kind == "packet"]
    qualities = sorted(held | (set(SHOWN) & measured))
    return "local", *(f"jpeg:{quality}" for quality in qualities), *points, "policy"


def simulated(
    told: Scenario, setup: Setup, bundle: Path, known: Known, times: ServiceTimes, seed: int
) -> dict[str, Any]:
    """A scenario with so many clients: every way's figures, and points beside pictures."""
    scenario = _variant(told, setup, bundle, ways_of(known))
    columns = simulate_in_time(scenario, times, known, seed, lambda _: None)
    ways = result_of(scenario, columns)["ways"]
    for way, figures in ways.items():
        figures |= _percentiles(columns, way)
    return {
        "link": told.name, "clients": setup.clients, "shared": setup.shared,
        "fps": next(iter(told.classes.values())).fps, "deadline_ms": told.deadline_ms,
        "seconds": scenario.seconds, "ways": ways,
        "equal_accuracy": list(compared(known, ways, float(told.deadline_ms))),
    }  # fmt: skip


def _setups(clients: tuple[int, ...]) -> Iterator[Setup]:
    for count in clients:
        yield Setup(count, False)
        if count > 1:
            yield Setup(count, True)


def _variant(told: Scenario, setup: Setup, bundle: Path, ways: tuple[str, ...]) -> Scenario:
    ((name, kind),) = told.classes.items()
    devices = kind.model_copy(update={"devices": setup.clients, "shared": setup.shared})
    seconds = max(LEAST_S, FRAMES / setup.clients / kind.fps)
    return told.model_copy(
        update={"classes": {name: devices}, "bundle": bundle, "ways": ways, "seconds": seconds}
    )  # fmt: skip


def _percentiles(columns: Columns, way: str) -> dict[str, float | None]:
    """Of all frames: one without an answer took longer than any. None: that is what it is."""
    every = [
        np.inf if ms is None else ms
        for ms, name in zip(columns["latency_ms"], columns["way"], strict=True)
        if name == way
    ]
    found = {f"p{p}_ms": float(np.percentile(every, p, method="higher")) for p in (50, 95)}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}
