"""`narrows evaluate --wire`: the same figures, every operating point's frames over gRPC."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from narrows.codec.manifest import Manifest
from narrows.images.labelled import Entry, LabelledImages
from narrows.simulations.demo import figures as fig
from narrows.simulations.demo.devices import run_devices
from narrows.simulations.demo.photographs import copy_entries
from narrows.simulations.demo.run import serving, true_labels_of
from narrows.simulations.evaluation_report import measured


def measured_over_wire(
    bundle: Path, images: LabelledImages, entries: Sequence[Entry], points: Sequence[int] | None
) -> dict[str, Any]:
    """`measured`, with each point's accuracy and bytes as a device process reports them."""
    found = measured(bundle, images, entries, points)
    with tempfile.TemporaryDirectory(prefix="narrows-evaluate-") as scratch:
        paths = copy_entries(images, entries, Path(scratch))
        truth = true_labels_of(Manifest.load(bundle), paths)
        with serving(bundle, executor="local", replicas=1) as address:
            for row in found["points"]:
                row |= _sent(bundle, address, row["id"], paths, truth)
    return found


def _sent(
    bundle: Path, address: str, point: int, paths: list[Path], truth: dict[str, str]
) -> dict[str, Any]:
    server = ["--server", address, "--bundle", str(bundle)]
    fleet = run_devices([*server, "--point", str(point)], paths, count=1)
    figures = fig.fleet_figures(fleet, truth, {})
    kept = ("accuracy", "packet_bytes", "wire_bytes", "latency_ms", "errors", "lost")
    return {key: figures[key] for key in kept}
