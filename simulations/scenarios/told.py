"""Frames of real devices as the columns of a run: from the JSON line that each was told in."""

from dataclasses import dataclass
from typing import Any

from narrows.errors import ConfigError
from narrows.simulations.events.ways import Known
from narrows.simulations.run_folder import EVENTS
from narrows.simulations.scenarios.figures import Columns
from narrows.simulations.scenarios.scenario import Scenario

DEVICE_STAGES = "preprocess", "head", "code"
LOCAL = "local"


@dataclass(frozen=True)
class Camera:
    """One device of a scenario."""

    number: int
    kind: str  # its class
    frames: int  # that it is to take
    period_s: float


def cameras_of(scenario: Scenario, most: int, where: str) -> list[Camera]:
    """Every device. Raises ConfigError: more than this machine should be asked to run."""
    if scenario.devices > most:
        raise ConfigError(
            f"{scenario.name} has {scenario.devices} devices: expected at most {most} {where}: "
            "simulated time takes more"
        )
    kinds = [(name, kind) for name, kind in scenario.classes.items() for _ in range(kind.devices)]
    return [
        Camera(number, name, max(1, round(scenario.seconds * kind.fps)), 1 / kind.fps)
        for number, (name, kind) in enumerate(kinds)
    ]


def edge_options(way: str) -> list[str]:
    """Of `narrows edge`, for a scenario's way. Raises ConfigError: there is no such device."""
    name, _, argument = way.partition(":")
    match name:
        case "fixed":
            return ["--point", argument]
        case "jpeg":
            return ["--upload", way]
        case "policy":
            return ["--policy"]
    raise ConfigError(f"way {way!r}: real devices know fixed:POINT, jpeg:QUALITY and policy")


def add_record(
    columns: Columns, way: str, camera: Camera, record: dict[str, Any], known: Known,
    deadline_ms: float,
) -> None:  # fmt: skip
    """Add a frame. Moments of other machines' clocks stay empty; a frame is due at its rate."""
    timing, ok = record["timing_ms"], record["status"] == "OK"
    number = record["frame_id"] - 1
    latency_ms = record["latency_ms"] if ok else None
    choice, by_device = _choice(way, record), record["answered_by"] == LOCAL
    answer = LOCAL if by_device else choice
    accuracy = {str(each): known.accuracy_of(each) for each in known.menu}
    row = {
        "way": way, "device": camera.number, "class": camera.kind, "frame": number,
        "due_ms": 1e3 * number * camera.period_s, "choice": choice,
        "wire_bytes": record["wire_bytes"],
        "device_ms": sum(timing.get(stage, 0.0) for stage in DEVICE_STAGES),
        "latency_ms": latency_ms, "batch": record["batch_size"] or None,
        "sendings": record["sendings"], "status": record["status"], "by_device": by_device,
        "accuracy": accuracy.get(answer) if ok else None,
        "missed": latency_ms is None or latency_ms > deadline_ms,
    }  # fmt: skip
    for name in EVENTS.names:
        columns[name].append(row.get(name))


def _choice(way: str, record: dict[str, Any]) -> str:
    """In the words of a menu: point 0, jpeg 60, local."""
    if record["decision"] is not None:
        return str(record["decision"]["choice"])
    if record["point"] is not None:
        return f"point {record['point']}"
    return way.replace(":", " ")
