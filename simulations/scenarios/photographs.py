"""What a bundle's choices are worth on photographs: all of them measured on the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from narrows.codec.manifest import Manifest
from narrows.edge.policy.menu import Choice
from narrows.errors import ConfigError
from narrows.images.labelled import LabelledImages
from narrows.simulations.evaluation import evaluate, evenly
from narrows.simulations.events.ways import Known, known_of

USUAL_QUALITIES = (30, 60, 90)  # of pictures that a policy may send


@dataclass(frozen=True)
class Photographs:
    """A set kept out of training, and how many of it are enough."""

    data: Path
    limit: int | None = None


def known_on(
    bundle: Path, photographs: Photographs, qualities: Sequence[int], console: Console
) -> tuple[Known, int]:
    """Bytes and accuracy of every point, of JPEG and of the whole network; of how many pictures.

    The device's own small answer stays as the manifest has it. Raises NarrowsError.
    """
    manifest, images = Manifest.load(bundle), LabelledImages(photographs.data)
    entries = evenly(images.of_part(None), photographs.limit)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("measuring photographs", total=len(entries))
        found = evaluate(
            bundle, images, entries, qualities=sorted(qualities), codecs=("jpeg",),
            advance=lambda done: bar.advance(task, done),
        )  # fmt: skip
    if found["unsplit_accuracy"] is None:
        raise ConfigError(f"{photographs.data}: no photograph whose label the bundle knows")
    return _known(known_of(manifest), found), found["frames"]


def _known(told: Known, found: dict[str, Any]) -> Known:
    points = [Choice("packet", r["id"], r["wire_bytes"], r["accuracy"]) for r in found["points"]]
    pictures = [
        Choice("image", r["quality"], r["wire_bytes"], r["accuracy"]) for r in found["jpeg"]
    ]
    own, whole = told.choice("local", 0), replace(told.whole, accuracy=found["unsplit_accuracy"])
    measured = {(c.kind, c.level) for c in (*points, *pictures, whole)}
    if own.accuracy:
        measured.add(("local", own.level))
    return Known(told.name, (*points, *pictures, own), whole, frozenset(measured))
