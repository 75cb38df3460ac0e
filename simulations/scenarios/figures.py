"""Frames of a run as columns, and what is said of them: accuracy, latencies, energy, deadlines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from narrows.simulations.events.device import Taken
from narrows.simulations.events.ways import Known
from narrows.simulations.run_folder import EVENTS
from narrows.simulations.scenarios.scenario import Scenario

Columns = dict[str, list[Any]]
NOT_MEASURED = "not measured"
AS_MEASURED = "of answered frames, by each choice's as measured"
UNKNOWN = "of some answers' choices it was not measured: "
MODELLED = "modelled: the scenario's watts and joules"


def empty() -> Columns:
    """No frames yet."""
    return {name: [] for name in EVENTS.names}


def columns_of(way: str, frames: Sequence[Taken], deadline_ms: float, known: Known) -> Columns:
    """Simulated frames; one without an answer has no moments beyond the last it reached."""
    rows = (_row(way, frame, deadline_ms, known) for frame in frames)
    return {
        name: list(column)
        for name, column in zip(EVENTS.names, zip(*rows, strict=True), strict=False)
    } or empty()


def _row(way: str, frame: Taken, deadline_ms: float, known: Known) -> tuple[Any, ...]:
    answered, answer = frame.status == "OK", frame.answer
    latency_ms = (frame.answered_ns - frame.due_ns) / 1e6 if answered else None
    moments = (frame.sent_ns, frame.received_ns, frame.started_ns, frame.served_ns)
    return (
        way, frame.device, frame.kind, frame.number, frame.due_ns / 1e6, str(frame.choice),
        frame.wire_bytes, frame.device_ns / 1e6, *(_ms(moment) for moment in moments),
        _ms(frame.answered_ns), latency_ms, frame.batch or None,
        frame.replica if frame.replica >= 0 else None, frame.sendings, frame.status or "UNANSWERED",
        answer is not None and answer.kind == "local",
        None if answer is None else known.accuracy_of(answer),
        latency_ms is None or latency_ms > deadline_ms,
    )  # fmt: skip


def _ms(moment_ns: int) -> float | None:
    return moment_ns / 1e6 if moment_ns else None


def result_of(scenario: Scenario, columns: Columns) -> dict[str, Any]:
    """The JSON object of `narrows simulate`: totals of the first way, then a part for each way."""
    ways = list(dict.fromkeys(columns["way"])) or list(scenario.ways)
    parts = {way: _part(scenario, _only(columns, way)) for way in ways}
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


def _part(scenario: Scenario, columns: Columns) -> dict[str, Any]:
    latencies = [value for value in columns["latency_ms"] if value is not None]
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) if latencies else (None, None, None)
    joules, energy_source = _energy(scenario, columns)
    accuracy, in_time, accuracy_source = _accuracy(columns)
    frames = len(columns["way"])
    sent = sum(n * times for n, times in zip(columns["wire_bytes"], columns["sendings"],
                                             strict=True))  # fmt: skip
    chosen = Counter(columns["choice"])
    return {
        "accuracy": accuracy, "in_time_accuracy": in_time, "accuracy_source": accuracy_source,
        "p50_ms": _number(p50), "p95_ms": _number(p95), "p99_ms": _number(p99), "frames": frames,
        "answered": columns["status"].count("OK"), "by_device": sum(columns["by_device"]),
        "missed_deadline": sum(columns["missed"]),
        "bytes_per_frame": sent / frames if frames else None,
        "joules_per_frame": joules, "energy_source": energy_source,
        "chosen": {choice: n / frames for choice, n in sorted(chosen.items())},
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _accuracy(columns: Columns) -> tuple[float | None, float | None, str]:
    """Of answered frames; of all frames, where one without an answer in time is wrong; whence."""
    answered = [
        (accuracy, missed, choice)
        for accuracy, missed, choice, status in zip(
            columns["accuracy"], columns["missed"], columns["choice"], columns["status"],
            strict=True,
        )
        if status == "OK"
    ]  # fmt: skip
    if unknown := {choice for accuracy, _, choice in answered if accuracy is None}:
        return None, None, UNKNOWN + ", ".join(sorted(unknown))
    if not answered:
        return None, 0.0, "no frame was answered"
    total = sum(accuracy for accuracy, _, _ in answered)
    in_time = sum(accuracy for accuracy, missed, _ in answered if not missed)
    return total / len(answered), in_time / len(columns["way"]), AS_MEASURED


def _energy(scenario: Scenario, columns: Columns) -> tuple[float | None, str]:
    """Joules a frame by the scenario's own watts, where every class gives them."""
    if any(
        kind.active_watts is None or kind.radio_joules_per_mb is None
        for kind in scenario.classes.values()
    ):
        return None, NOT_MEASURED
    total = 0.0
    for name, device_ms, size, times in zip(
        columns["class"], columns["device_ms"], columns["wire_bytes"], columns["sendings"],
        strict=True,
    ):  # fmt: skip
        kind = scenario.classes[name]
        total += (kind.active_watts or 0) * device_ms / 1e3
        total += (kind.radio_joules_per_mb or 0) * size * times / 1e6
    return total / max(1, len(columns["way"])), MODELLED
