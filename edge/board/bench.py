"""What a frame costs this board: time by stage, energy, and whether heat slowed it down."""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np

from narrows.codec.manifest import Manifest
from narrows.edge.board.checks import Board, check_heat
from narrows.edge.encoder import load_feature_encoder
from narrows.edge.energy.discover import open_sensor
from narrows.edge.record import peak_memory_bytes
from narrows.errors import ConfigError
from narrows.images.files import decode
from narrows.kernels import coder

LEAD_IN = 5  # frames before it counts: caches and clocks settle
STAGES = ("preprocess", "head", "code")
SHARES = {"p50": 50, "p90": 90, "p99": 99}


def bench_board(
    bundle: Path,
    photographs: Sequence[Path],
    frames: int,
    sensor: str = "auto",
    board: Board | None = None,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Code `frames` photographs at every operating point; a JSON object to send home.

    Energy is above rest, which is measured for a second before. Nothing is sent.

    Raises:
        BundleError, SourceError, SensorError. ConfigError: no photograph.
    """
    if not photographs:
        raise ConfigError("expected photographs to code, got none")
    board, manifest = board or Board(), Manifest.load(bundle)
    encoder = load_feature_encoder(bundle, manifest)
    pictures = [decode(path.read_bytes(), str(path)) for path in photographs]
    points = []
    with open_sensor(sensor, board.places) as found:
        rest_w = _watts_at_rest(found.sensor.joules)
        for point in manifest.operating_points:
            for number in range(LEAD_IN):
                encoder.encode(pictures[number % len(pictures)], point.id)
            began_s, began_j, took, sizes = monotonic(), found.sensor.joules(), [], []
            for number in range(frames):
                payload = encoder.encode(pictures[number % len(pictures)], point.id)
                took.append((payload.preprocess_ns, payload.head_ns, payload.code_ns))
                sizes.append(len(payload.data))
                step()
            spent_j, passed_s = found.sensor.joules() - began_j, monotonic() - began_s
            points.append(
                {"id": point.id, "bytes": float(np.mean(sizes)), "ms": _stages(np.array(took))}
                | {"joules_per_frame": max(0.0, spent_j - rest_w * passed_s) / frames}
            )
        about = found.sensor.about
    return {
        "machine": platform.machine(), "system": platform.platform(), "bundle": manifest.digest,
        "kernels": coder.instruction_set(), "frames": frames, "photographs": len(pictures),
        "points": points, "peak_memory_bytes": peak_memory_bytes(),
        "energy": {"source": about.name, "covers": about.covers, "is_model": about.is_model,
                   "watts_at_rest": rest_w},
        "heat": {check.name: check.found for check in check_heat(board.heat)},
    }  # fmt: skip


def _stages(took: np.ndarray) -> dict[str, dict[str, float]]:  # type: ignore[type-arg]
    """ns (frames, stages) -> ms by stage and for all."""
    columns = {name: took[:, i] for i, name in enumerate(STAGES)} | {"all": took.sum(1)}
    return {
        name: {share: float(np.percentile(ns, at)) / 1e6 for share, at in SHARES.items()}
        for name, ns in columns.items()
    }


def _watts_at_rest(joules: Callable[[], float], seconds: float = 1.0) -> float:
    began_s, began_j = monotonic(), joules()
    sleep(seconds)
    return (joules() - began_j) / (monotonic() - began_s)
