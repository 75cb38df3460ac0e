"""From device records to the numbers of the table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from narrows.codec.manifest import OperatingPoint
from narrows.simulations.demo.devices import LEAD_IN, Fleet

STAGES = ("preprocess", "head", "code", "wait", "send", "queue", "decode", "tail", "reply")


def fleet_figures(
    fleet: Fleet, truth: Mapping[str, str], reference: Mapping[str, str]
) -> dict[str, Any]:
    """Accuracy against `truth`, agreement with `reference` (photograph -> label)."""
    answered = fleet.answered
    packet = mean(r["packet_bytes"] for r in answered) if answered else 0.0
    wire = mean(r["wire_bytes"] for r in answered) if answered else 0.0
    return {
        "frames": len(fleet.records),
        "accuracy": _share(answers(fleet), truth),
        "agreement": _share(answers(fleet), reference),
        "packet_bytes": packet,
        "wire_bytes": wire,
        "framing_bytes": wire - packet,
        "latency_ms": latency(answered),
        "errors": fleet.errors,
        "lost": fleet.lost,
    }


def answers(fleet: Fleet) -> dict[str, str]:
    """Photograph -> the most probable label."""
    return {r["name"]: r["labels"][0]["name"] for r in fleet.answered}


def latency(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds of the frames after each device's first few: p50, p99, and both per stage."""
    settled = [r["timing_ms"] for r in records if r["frame_id"] > LEAD_IN] or [
        r["timing_ms"] for r in records
    ]
    if not settled:
        return {"p50": None, "p99": None, "stages": {}}
    stages = {s: _quantiles([t.get(s, 0.0) for t in settled]) for s in STAGES}
    return _quantiles([sum(t.values()) for t in settled]) | {"stages": stages}


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def _share(found: Mapping[str, str], wanted: Mapping[str, str]) -> float | None:
    common = [name for name in found if name in wanted]
    return mean(found[name] == wanted[name] for name in common) if common else None


def true_labels(paths: Sequence[Path], shown: Mapping[str, str]) -> dict[str, str]:
    """Photograph -> label by class folder, for the folders the bundle knows."""
    return {str(p): shown[p.parent.name.lower()] for p in paths if p.parent.name.lower() in shown}


def equal_quality(curve: Sequence[dict[str, Any]], target: float, key: str) -> int:
    """The lowest measured quality that reaches `target`; the best one if none does."""
    reaching = [row["quality"] for row in curve if row[key] >= target]
    return min(reaching) if reaching else max(curve, key=lambda row: row[key])["quality"]


def recommended(
    points: Sequence[OperatingPoint], unsplit: Mapping[str, float], margin: float = 0.03
) -> int:
    """The cheapest point within `margin` of the unsplit network on every task; else the best."""
    near = [p for p in points if all(p.scores_of[t] >= s - margin for t, s in unsplit.items())]
    if near:
        return min(near, key=lambda p: p.packet_bytes).id
    return max(points, key=lambda p: sum(p.scores_of.values())).id
