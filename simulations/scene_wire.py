"""`narrows evaluate --wire` of annotated sets: every operating point's frames over gRPC."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from narrows.codec.manifest import Manifest
from narrows.edge.device import run_device
from narrows.edge.encoder import load_feature_encoder
from narrows.edge.link import LinkSettings
from narrows.edge.record import FrameRecord
from narrows.edge.run import DeviceSettings
from narrows.edge.source import SourceFrame
from narrows.images.annotated import AnnotatedImages
from narrows.images.annotations import Annotation
from narrows.simulations.demo.run import serving
from narrows.simulations.evaluation import evenly
from narrows.simulations.scene_evaluation import METRICS, Scores, Translation, measured_scenes

Entries = Sequence[tuple[AnnotatedImages, Annotation]]


def measured_scenes_over_wire(
    bundle: Path, sets: Sequence[AnnotatedImages], part: str, limit: int | None
) -> dict[str, Any]:
    """`measured_scenes`, each point's scores and bytes as a device is told them by a server.

    Raises:
        NarrowsError: the bundle or the photographs cannot be read.
    """
    found = measured_scenes(bundle, sets, part, limit)
    entries = evenly([(images, e) for images in sets for e in images.of_part(part)], limit)
    manifest = Manifest.load(bundle)
    with serving(bundle, executor="local", replicas=1) as address:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            for row in found["points"]:
                task = progress.add_task(f"point {row['id']}", total=len(entries))
                records = _sent(bundle, manifest, address, row["id"], entries)
                row |= _figures(manifest, entries, records, list(found["metrics"]))
                progress.update(task, completed=len(entries))
    return found


def _sent(
    bundle: Path, manifest: Manifest, address: str, point: int, entries: Entries
) -> list[FrameRecord]:
    def source() -> Iterator[SourceFrame]:
        for images, entry in entries:
            yield SourceFrame(entry.name, images.image(entry.name))

    records: list[FrameRecord] = []
    settings = DeviceSettings(
        address, manifest.name, (point,), link=LinkSettings(deadline_ms=60_000)
    )
    run_device(source(), load_feature_encoder(bundle, manifest), settings, records.append)
    return records


def _figures(
    manifest: Manifest, entries: Entries, records: Sequence[FrameRecord], tasks: Sequence[str]
) -> dict[str, Any]:
    scores = Scores(manifest.labels_of)
    translations = {images: Translation(images, manifest.labels_of) for images, _ in entries}
    by_name = {entry.name: (images, entry) for images, entry in entries}
    for record in records:  # in the order of answers
        if record.outcome.ok:
            images, entry = by_name[record.name]
            scores.add_outcome(record.outcome, translations[images].truth(images, entry))
    errors = sum(not record.outcome.ok for record in records)
    row = scores.row([t for t in METRICS if t in tasks], "packet_bytes")
    return row | {"errors": errors, "lost": len(entries) - len(records)}
