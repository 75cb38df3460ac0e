"""`narrows simulate`: a scenario run, its folder written, its figures told."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from narrows.simulations.demo.photographs import write_crops
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.events.ways import Known
from narrows.simulations.planning.kept_times import service_times
from narrows.simulations.run_folder import RunFolder
from narrows.simulations.scenarios.figures import Columns, result_of
from narrows.simulations.scenarios.in_time import Show, bundle_of, check_ways, simulate_in_time
from narrows.simulations.scenarios.photographs import USUAL_QUALITIES, Photographs, known_on
from narrows.simulations.scenarios.progress import live_table
from narrows.simulations.scenarios.scenario import Scenario, load_scenario

NUMBERS = (
    "p50_ms", "p95_ms", "p99_ms", "accuracy", "in_time_accuracy", "bytes_per_frame",
    "joules_per_frame",
)  # fmt: skip


Place = Literal["time", "processes", "containers"]


@dataclass(frozen=True)
class Asked:
    """What the command was given."""

    scenario: str
    seed: int
    service: Path | None  # service times; None: this machine's
    runs: Path
    photographs: Photographs | None = None  # to measure choices on; None: as the manifest has them
    place: Place = "time"


def run_simulation(asked: Asked, as_json: bool) -> dict[str, Any]:
    """Run, write the folder, print. Raises NarrowsError."""
    scenario = load_scenario(asked.scenario)
    console = Console(stderr=as_json)
    known = _known(asked, scenario, console)
    server, times = scenario.server, None
    if asked.place == "time":
        times = service_times(
            asked.service, scenario.bundle, server.threads, server.max_batch, console
        )
    folder = RunFolder.create(asked.runs, scenario.name)
    with live_table(console, quiet=as_json or not console.is_terminal) as table:
        columns = _run(asked, scenario, known, times, table.show)
    told, service = scenario.model_dump(mode="json"), times and times.model_dump(mode="json")
    folder.write_config(
        {"seed": asked.seed, "in": asked.place, "scenario": told, "service": service}
    )
    folder.write_events(columns)
    result = result_of(scenario, columns) | {"in": asked.place, "run": str(folder.path)}
    folder.write_result(result)
    from narrows.simulations.scenarios.report import write_report

    write_report(folder.path, scenario, columns, result)
    print(json.dumps(result)) if as_json else _print(console, result)
    return result


def _run(
    asked: Asked, scenario: Scenario, known: Known, times: ServiceTimes | None, show: Show
) -> Columns:
    if times is not None:
        return simulate_in_time(scenario, times, known, asked.seed, show)
    data = asked.photographs.data if asked.photographs else None
    if asked.place == "containers":
        from narrows.simulations.scenarios.in_containers import simulate_in_containers

        return simulate_in_containers(scenario, known, data, show)
    from narrows.simulations.scenarios.in_processes import simulate_in_processes

    with tempfile.TemporaryDirectory() as made:
        if data is None:
            write_crops(Path(made))
        return simulate_in_processes(scenario, known, data or Path(made), asked.seed, show)


def _known(asked: Asked, scenario: Scenario, console: Console) -> Known:
    if asked.photographs is None:
        return bundle_of(scenario)
    asked_for = {int(way[5:]) for way in scenario.ways if way.startswith("jpeg:")}
    qualities = sorted(asked_for | set(USUAL_QUALITIES))
    known, _ = known_on(scenario.bundle, asked.photographs, qualities, console)
    check_ways(scenario, known)
    return known


def _print(console: Console, result: dict[str, Any]) -> None:
    where = "in simulated time" if result["in"] == "time" else f"in {result['in']}"
    table = Table("", *result["ways"], title=f"{result['scenario']}, {where}")
    for key in ("frames", "answered", "by_device", "missed_deadline"):
        table.add_row(key.replace("_", " "), *(f"{p[key]:,}" for p in result["ways"].values()))
    for key in NUMBERS:
        table.add_row(key.replace("_", " "), *(_shown(p[key]) for p in result["ways"].values()))
    table.add_row("energy", *(p["energy_source"] for p in result["ways"].values()))
    console.print(table)
    for source in {p["accuracy_source"] for p in result["ways"].values() if p["accuracy"] is None}:
        console.print(f"accuracy: {source}")
    console.print(f"every frame, the report and what was asked for: {result['run']}")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
