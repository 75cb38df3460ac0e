"""A scenario in containers: docker-compose.yml with a service for each class of devices.

For who has the checkout and an engine. Devices have their links inside their containers, so that
faults of links are signals to them; a replica's death is its worker's container's.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from narrows.errors import ConfigError, LinkError
from narrows.simulations.events.ways import Known
from narrows.simulations.scenarios.figures import Columns, empty
from narrows.simulations.scenarios.in_time import Show
from narrows.simulations.scenarios.progress import Progress
from narrows.simulations.scenarios.scenario import Fault, Scenario
from narrows.simulations.scenarios.told import Camera, add_record, cameras_of, edge_options

COMPOSE = Path("docker-compose.yml")
ZOO = Path("models/zoo")
MOST_DEVICES = 64  # identities that are made
LOOK_S = 1.0


def simulate_in_containers(
    scenario: Scenario, known: Known, photographs: Path | None, show: Show
) -> Columns:
    """Every way in turn, each with a fresh fleet. Raises ConfigError, LinkError."""
    columns = empty()
    cameras = cameras_of(scenario, MOST_DEVICES, "in containers")
    if scenario.bundle.parent != ZOO:
        raise ConfigError(f"bundle {scenario.bundle}: expected one of {ZOO}, which images hold")
    if any(kind.shared for kind in scenario.classes.values()):
        raise ConfigError("shared lines are for processes and simulated time: a container has one")
    options = [edge_options(way) for way in scenario.ways]
    for way, told in zip(scenario.ways, options, strict=True):
        with _fleet(scenario, told, photographs) as fleet:
            progress = Progress(way, scenario.seconds, float(scenario.deadline_ms))
            for camera, lines in _watched(fleet, scenario, cameras, progress, show):
                for line in lines:
                    add_record(columns, way, camera, line, known, scenario.deadline_ms)
    return columns


@dataclass
class Fleet:
    """A project of compose's that is up."""

    name: str
    file: Path
    environment: dict[str, str] = field(default_factory=dict)

    def compose(self, *command: str) -> str:
        """Its output. Raises LinkError."""
        alone = shutil.which("docker-compose")
        tool = [alone] if alone else ["docker", "compose"]
        told = [*tool, "-p", self.name, "-f", str(self.file), "--project-directory", "."]
        return _run([*told, *command], os.environ | self.environment)

    def containers(self, service: str) -> list[str]:
        """Their ids, always in one order."""
        return sorted(self.compose("ps", "-q", service).split())


@contextmanager
def _fleet(scenario: Scenario, options: Sequence[str], photographs: Path | None) -> Iterator[Fleet]:
    if shutil.which("docker") is None:
        raise ConfigError("containers need Docker: install it, or leave out --in containers")
    name = f"narrows-{scenario.name}-{os.getpid()}".lower()
    file = Path.home() / ".cache" / "narrows" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(services_of(scenario, options)))
    settings = {"BUNDLE": scenario.bundle.name, "REPLICAS": str(scenario.server.replicas)}
    if photographs is not None:
        settings["PHOTOGRAPHS"] = str(photographs.resolve())
    fleet = Fleet(name, file, settings)
    try:
        fleet.compose("up", "-d", "--build", *_scales(scenario), *map(_service, scenario.classes))
        yield fleet
    finally:
        fleet.compose("down", "--volumes", "--timeout", "5")
        file.unlink()


def services_of(scenario: Scenario, options: Sequence[str]) -> dict[str, Any]:
    """docker-compose.yml with `edge` once for each class. Raises ConfigError: no such file here."""
    import yaml  # Ray brings it

    if not COMPOSE.is_file():
        raise ConfigError(f"no {COMPOSE} here: containers are run from a checkout")
    project: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    edge = project["services"].pop("edge")
    for name, kind in scenario.classes.items():
        command = ["--links", kind.link, "--fps", f"{kind.fps:g}"]
        command += ["--frames", str(max(1, round(scenario.seconds * kind.fps)))]
        told = ["--bundle", f"/models/{scenario.bundle.name}", "--window", str(kind.window)]
        told += ["--deadline-ms", str(scenario.deadline_ms), *options]
        command += [f"--option={option}" for option in told]
        project["services"][_service(name)] = edge | {"command": command, "cpus": kind.cpu_share}
    return project


def _service(name: str) -> str:
    return f"edge-{name}"


def _scales(scenario: Scenario) -> Iterator[str]:
    yield from ("--scale", f"worker={scenario.server.replicas}")
    for name, kind in scenario.classes.items():
        yield from ("--scale", f"{_service(name)}={kind.devices}")


def _watched(
    fleet: Fleet, scenario: Scenario, cameras: Sequence[Camera], progress: Progress, show: Show
) -> Iterator[tuple[Camera, list[dict[str, Any]]]]:
    """Until all devices have ended; then each one's records. Raises LinkError: one ended badly."""
    devices = [
        container for name in scenario.classes for container in fleet.containers(_service(name))
    ]
    ended, began_s = Event(), time.monotonic()
    faults = [Thread(target=_fail, args=(fleet, fault, ended)) for fault in scenario.faults]
    for thread in faults:
        thread.start()
    try:
        while not all(_state(device)["Status"] == "exited" for device in devices):
            progress.now_s = min(progress.seconds, time.monotonic() - began_s)
            show(progress)
            time.sleep(LOOK_S)
    finally:
        ended.set()
        for thread in faults:
            thread.join()
    for camera, device in zip(cameras, devices, strict=True):
        if code := _state(device)["ExitCode"]:
            raise LinkError(f"device {camera.number} ended with code {code}: {_log(device)[-500:]}")
        lines = [json.loads(line) for line in _log(device).splitlines() if line.startswith("{")]
        records = [line for line in lines if "frame_id" in line]
        for record in records:
            progress.note(record["status"], record["latency_ms"])
        yield camera, records
    show(progress)


def _fail(fleet: Fleet, fault: Fault, ended: Event) -> None:
    if ended.wait(fault.at_s):
        return
    if fault.kind == "link":
        names = [fault.devices] if fault.devices else _edges(fleet)
        hit = [c for name in names for c in fleet.containers(_service(name))]
        _run(["docker", "kill", "--signal", "USR1", *hit])
        ended.wait(fault.for_s)
        _run(["docker", "kill", "--signal", "USR2", *hit])
        return
    worker = fleet.containers("worker")[fault.replica]
    begin, end = ("kill", "start") if fault.kind == "killed" else ("pause", "unpause")
    _run(["docker", begin, worker])
    ended.wait(fault.for_s)
    _run(["docker", end, worker])


def _edges(fleet: Fleet) -> list[str]:
    services = fleet.compose("config", "--services").split()
    return [s.removeprefix("edge-") for s in services if s.startswith("edge-")]


def _state(container: str) -> dict[str, Any]:
    return json.loads(_run(["docker", "inspect", "--format", "{{json .State}}", container]))  # type: ignore[no-any-return]


def _log(container: str) -> str:
    return _run(["docker", "logs", container])


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-500:]
        raise LinkError(f"{' '.join(command[:3])}... failed: {said}")
    return done.stdout
