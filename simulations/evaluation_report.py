"""`narrows evaluate` for people and for programs: a progress bar, a table, one JSON object."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.codec.manifest import Precision
from narrows.edge.head import HeadKind
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages, is_annotated
from narrows.images.labelled import Entry, LabelledImages
from narrows.simulations.evaluation import QUALITIES, evaluate, evenly
from narrows.simulations.rate_distortion.statistics import bytes_at
from narrows.simulations.scene_evaluation import measured_scenes, print_scenes


def run_evaluation(
    bundle: Path,
    data: Path,
    points: str,
    part: str | None,
    limit: int | None,
    wire: bool,
    head: HeadKind,
    as_json: bool,
) -> None:
    """Measure and print. Raises NarrowsError."""
    if is_annotated(data):
        if points != "all":
            raise ConfigError("a multi-task set is measured at all points")
        sets = (AnnotatedImages(data),)
        if wire:
            from narrows.simulations.scene_wire import measured_scenes_over_wire

            found = measured_scenes_over_wire(bundle, sets, part or "val", limit)
        else:
            found = measured_scenes(bundle, sets, part or "val", limit, head=head)
        print(json.dumps(found)) if as_json else print_scenes(found)
        return
    images = LabelledImages(data)
    entries = evenly(images.of_part(part), limit)
    ids = _point_ids(points)
    if wire:
        from narrows.simulations.evaluation_wire import measured_over_wire

        figures = measured_over_wire(bundle, images, entries, ids)
    else:
        figures = measured(bundle, images, entries, ids, head=head)
    print(json.dumps(figures)) if as_json else print_evaluation(figures)


def measured(
    bundle: Path,
    images: LabelledImages,
    entries: Sequence[Entry],
    points: Sequence[int] | None = None,
    qualities: Sequence[int] = QUALITIES,
    head: HeadKind = "auto",
    precision: Precision = "fp32",
) -> dict[str, Any]:
    """`evaluate` behind a progress bar on standard error."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=len(entries))
        return evaluate(
            bundle,
            images,
            entries,
            points,
            qualities,
            head,
            advance=lambda frames: progress.advance(task, frames),
            precision=precision,
        )


def _point_ids(text: str) -> list[int] | None:
    if text == "all":
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--points {text!r}: expected `all` or ids such as 0,2") from None


def print_evaluation(figures: dict[str, Any]) -> None:
    """The table people read: each operating point beside the codecs' bytes at its accuracy."""
    key = "accuracy" if figures["unsplit_accuracy"] is not None else "agreement"
    table = Table("point", key, "packet B", "wire B", "JPEG B", "ratio", "WebP B", "ratio")
    for point in figures["points"]:
        row = [str(point["id"]), f"{point[key]:.2%}", f"{point['packet_bytes']:,.0f}"]
        row.append(f"{point['wire_bytes']:,.0f}")
        for codec in ("jpeg", "webp"):
            curve = [(row["bytes"], row[key]) for row in figures[codec]]
            equal = bytes_at(curve, point[key]) if curve else None
            shown = (
                ("-", "-")
                if equal is None
                else (f"{equal:,.0f}", f"{equal / point['packet_bytes']:.1f}x")
            )
            row.extend(shown)
        table.add_row(*row)
    console = Console()
    console.print(table)
    unsplit = figures["unsplit_accuracy"]
    share = f"{unsplit:.2%}" if unsplit is not None else "no labels; agreement with it is shown"
    console.print(f"{figures['frames']} photographs; unsplit network: {share}")
    console.print(
        "JPEG and WebP: bytes at equal accuracy with the unsplit network; - is never reached"
    )
