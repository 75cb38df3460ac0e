"""The photographs that every choice is given: an even sample, as plain files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.codec.manifest import Manifest
from narrows.errors import SourceError
from narrows.images.files import pictures_in
from narrows.images.labelled import LabelledImages
from narrows.simulations.demo.figures import true_labels
from narrows.simulations.demo.photographs import copy_entries
from narrows.simulations.evaluation import evenly


@dataclass(frozen=True)
class Photographs:
    """What is sent, in this order, and what it shows where that is known."""

    paths: Sequence[Path]
    truth: Mapping[str, str]  # path -> label


def photographs_of(
    source: Path, labels: bool, part: str | None, frames: int, manifest: Manifest, scratch: Path
) -> Photographs:
    """At most `frames` of a tar or folder of class folders (`labels`), or of a plain folder.

    Raises:
        SourceError: there is no such thing, or no photograph in it.
    """
    if not source.exists():
        raise SourceError(f"{source}: expected a folder or a tar of photographs, found nothing")
    if source.is_dir() and not labels and part is None:
        chosen = evenly(pictures_in(source), frames)
        return Photographs([path.resolve() for path in chosen], {})
    images = LabelledImages(source)
    paths = copy_entries(images, evenly(images.of_part(part), frames), scratch / "photographs")
    shown = {name.lower(): name for name in manifest.labels}
    folders = zip(manifest.folders, manifest.labels, strict=False)
    return Photographs(paths, true_labels(paths, shown | {f.lower(): name for f, name in folders}))
