"""Frames of a run as columns, and what is said of them: accuracy, latencies, energy, deadlines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from narrows.simulations.events.world import FRAMING_BYTES, Bundle, Taken
from narrows.simulations.run_folder import EVENTS
from narrows.simulations.scenarios.scenario import Scenario

Columns = dict[str, list[Any]]
NOT_MEASURED = "not measured"


def empty() -> Columns:
    """No frames yet."""
    return {name: [] for name in EVENTS.names}


def columns_of(way: str, frames: Sequence[Taken], deadline_ms: float) -> Columns:
    """Simulated frames; one without an answer has no moments beyond the last it reached."""
    rows = (_row(way, frame, deadline_ms) for frame in frames)
    return {
        name: list(column)
        for name, column in zip(EVENTS.names, zip(*rows, strict=True), strict=False)
    } or empty()


def _row(way: str, frame: Taken, deadline_ms: float) -> tuple[Any, ...]:
    answered = frame.status == "OK"
    latency_ms = (frame.answered_ns - frame.due_ns) / 1e6 if answered else None
    moments = (frame.sent_ns, frame.received_ns, frame.started_ns, frame.served_ns)
    return (
        way, frame.device, frame.kind, frame.number, frame.due_ns / 1e6, frame.point,
        frame.packet_bytes, frame.head_ns / 1e6, *(_ms(moment) for moment in moments),
        _ms(frame.answered_ns), latency_ms, frame.batch or None,
        frame.replica if frame.replica >= 0 else None, frame.sendings, frame.status or "UNANSWERED",
        latency_ms is None or latency_ms > deadline_ms,
    )  # fmt: skip


def _ms(moment_ns: int) -> float | None:
    return moment_ns / 1e6 if moment_ns else None


def result_of(
    scenario: Scenario, columns: Columns, bundle: Bundle, energy: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The JSON object of `narrows simulate`: totals of the first way, then a part for each way."""
    ways = list(dict.fromkeys(columns["way"])) or list(scenario.ways)
    parts = {way: _part(scenario, _only(columns, way), bundle) for way in ways}
    first = _only(columns, ways[0])
    return {
        "scenario": scenario.name, "devices": scenario.devices, "frames": len(first["way"]),
        "answered": first["status"].count("OK"), "missed_deadline": sum(first["missed"]),
        "policy": _kind(parts, "policy"), "oracle": _kind(parts, "oracle"),
        "fixed": _kind(parts, "fixed"), "ways": parts,
    }  # fmt: skip


def _kind(parts: Mapping[str, Any], kind: str) -> Any:
    """The first way of that name; null where the scenario ran none."""
    return next((part for way, part in parts.items() if way.partition(":")[0] == kind), None)


def _only(columns: Columns, way: str) -> Columns:
    mine = [index for index, name in enumerate(columns["way"]) if name == way]
    return {name: [column[index] for index in mine] for name, column in columns.items()}


def _part(scenario: Scenario, columns: Columns, bundle: Bundle) -> dict[str, Any]:
    latencies = [value for value in columns["latency_ms"] if value is not None]
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) if latencies else (None, None, None)
    joules, source = _energy(scenario, columns)
    return {
        "accuracy": _accuracy(columns, bundle), "p50_ms": _number(p50), "p95_ms": _number(p95),
        "p99_ms": _number(p99), "frames": len(columns["way"]),
        "answered": columns["status"].count("OK"), "missed_deadline": sum(columns["missed"]),
        "bytes_per_frame": float(np.mean(columns["packet_bytes"])) if latencies else None,
        "joules_per_frame": joules, "energy_source": source,
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _accuracy(columns: Columns, bundle: Bundle) -> float | None:
    """Of answered frames, by the manifest's of each one's point."""
    points = [
        point
        for point, status in zip(columns["point"], columns["status"], strict=True)
        if status == "OK"
    ]
    return sum(bundle.accuracy[point] for point in points) / len(points) if points else None


def _energy(scenario: Scenario, columns: Columns) -> tuple[float | None, str]:
    """Joules a frame by the scenario's own watts, where every class gives them."""
    if any(
        kind.active_watts is None or kind.radio_joules_per_mb is None
        for kind in scenario.classes.values()
    ):
        return None, NOT_MEASURED
    total = 0.0
    for name, head_ms, size, times in zip(
        columns["class"], columns["head_ms"], columns["packet_bytes"], columns["sendings"],
        strict=True,
    ):  # fmt: skip
        kind = scenario.classes[name]
        total += (kind.active_watts or 0) * (head_ms or 0) / 1e3
        sent_mb = (size + FRAMING_BYTES) * times / 1e6
        total += (kind.radio_joules_per_mb or 0) * sent_mb
    return total / max(1, len(columns["way"])), "modelled: the scenario's watts and joules"
