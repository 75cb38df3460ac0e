"""Samples of several replicas as the figures that the console and `narrows top` show."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from narrows.codec.manifest import Manifest
from narrows.server.samples import DIRECTOR, STAGES, Replicas

OK = "OK"
FEDERATED = "narrows_federated_"  # whoever runs rounds tells of them under such names


def figures(replicas: Replicas, bundles: Sequence[Manifest]) -> dict[str, Any]:
    """All replicas together, as JSON; counts are since the replicas' starts.

    replicas: name, frames, streams, waiting_frames, resident_bytes
    checked, quarantined: answers that other replicas computed too, replicas that were outvoted
    devices: name, frames, answered, bytes, seen_s (how long ago its last frame had its result)
    points: bundle, point, frames, mean_bytes, expected_bytes (the manifest's), scores by task
    stages: p50, p90, p99 in ms, and counts, how many frames between each two of bounds_ms
    bounds_ms: upper bounds of those counts; the last count is of what took longer than all
    statuses: frames by status
    energy_joules: as reported; None where nobody measures any
    federated: name, labels, value of each sample; empty where no rounds run
    """
    statuses: dict[str, float] = defaultdict(float)
    devices: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    seen: dict[str, float] = defaultdict(float)
    points: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    stages: dict[str, dict[float, float]] = {name: defaultdict(float) for name in STAGES}
    joules: list[float] = []
    rounds: list[dict[str, Any]] = []
    rows = []
    verified = {"checked": 0.0, "quarantined": 0.0}
    for replica, samples in replicas.items():
        row: dict[str, Any] = {"name": replica, "frames": 0.0}
        for name, labels, value in samples:
            match name:
                case "narrows_frames_total":
                    statuses[labels["status"]] += value
                    row["frames"] += value
                case "narrows_device_frames_total":
                    devices[labels["device"]]["frames"] += value
                    devices[labels["device"]]["answered"] += value * (labels["status"] == OK)
                case "narrows_device_bytes_total":
                    devices[labels["device"]]["bytes"] += value
                case "narrows_device_last_frame_timestamp_seconds":
                    seen[labels["device"]] = max(seen[labels["device"]], value)
                case "narrows_packet_bytes_sum" | "narrows_packet_bytes_count":
                    points[labels["bundle"], labels["point"]][name.rpartition("_")[2]] += value
                case "narrows_stage_seconds_bucket":
                    stages[labels["stage"]][float(labels["le"])] += value
                case "narrows_streams" | "narrows_waiting_frames" | "narrows_resident_bytes":
                    row[name.removeprefix("narrows_")] = value
                case "narrows_answers_checked_total":
                    verified["checked"] += value
                case "narrows_replica_quarantined_total":
                    verified["quarantined"] += value
                case "narrows_energy_joules_total":
                    joules.append(value)
                case _ if name.startswith(FEDERATED):
                    told = {"name": name.removeprefix(FEDERATED), "labels": labels, "value": value}
                    rounds.append(told)
        if replica != DIRECTOR:
            rows.append(row)
    measured = {(m.name, str(p.id)): p for m in bundles for p in m.operating_points}
    now_s = time.time()
    return {
        "replicas": rows,
        "devices": [
            {"name": name, "seen_s": max(0.0, now_s - seen[name])} | dict(row)
            for name, row in sorted(devices.items())
        ],
        "points": [
            {
                "bundle": bundle, "point": point, "frames": row["count"],
                "mean_bytes": row["sum"] / max(1.0, row["count"]),
                "expected_bytes": known.packet_bytes if known else None,
                "scores": known.scores_of if known else {},
            }
            for (bundle, point), row in sorted(points.items())
            for known in [measured.get((bundle, point))]
        ],
        "stages": {
            name: {f"p{round(100 * q)}": 1e3 * _quantile(found, q) for q in (0.5, 0.9, 0.99)}
            | {"counts": _counts(found)}
            for name, found in stages.items()
        },
        "bounds_ms": [1e3 * bound for bound in sorted(stages[STAGES[0]])[:-1]],
        "statuses": dict(statuses),
        "energy_joules": sum(joules) if joules else None,
        "federated": rounds,
    } | verified  # fmt: skip


def _counts(cumulative: Mapping[float, float]) -> list[float]:
    """Of each bucket alone, in the order of their bounds."""
    upto = [cumulative[bound] for bound in sorted(cumulative)]
    return [count - below for below, count in zip([0.0, *upto], upto, strict=False)]


def _quantile(cumulative: Mapping[float, float], q: float) -> float:
    """Linear within a bucket, as Prometheus' histogram_quantile; 0 without observations."""
    bounds = sorted(cumulative)
    if not bounds or not cumulative[bounds[-1]]:
        return 0.0
    rank, low, below = q * cumulative[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if cumulative[bound] >= rank:
            if bound == float("inf"):
                return low
            inside = max(cumulative[bound] - below, 1e-9)
            return low + (bound - low) * (rank - below) / inside
        low, below = bound, cumulative[bound]
    return low
