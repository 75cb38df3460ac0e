"""`narrows bundle measure-tail`: what a tail's precision costs, on photographs kept out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from narrows.codec.manifest import Precision
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages, is_annotated
from narrows.images.labelled import LabelledImages
from narrows.models.bundle import add_tail_scores
from narrows.simulations.evaluation import evenly
from narrows.simulations.evaluation_report import measured
from narrows.simulations.scene_evaluation import measured_scenes

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def run_tail_precision(
    bundle: Path, data: Sequence[Path], part: str | None, limit: int | None, as_json: bool
) -> None:
    """Measure every operating point in every precision, write the manifest, print.

    Raises:
        NarrowsError: the bundle or the photographs cannot be read, or have no class in common.
    """
    found = {precision: _figures(bundle, data, part, limit, precision) for precision in PRECISIONS}
    rows = zip(*(found[precision]["points"] for precision in PRECISIONS), strict=True)
    points = [
        {p: _scores(row) for p, row in zip(PRECISIONS, of_point, strict=True)} for of_point in rows
    ]
    frames = found["fp32"]["frames"]
    origin = {"data": " + ".join(path.name for path in data), "photographs": frames}
    manifest = add_tail_scores(bundle, points, origin)
    allowed = manifest.tail_precisions
    if as_json:
        print(json.dumps(origin | {"points": points, "allowed": allowed}))
    else:
        _print(points, frames, allowed)


def _figures(
    bundle: Path, data: Sequence[Path], part: str | None, limit: int | None, precision: Precision
) -> dict[str, Any]:
    if all(is_annotated(path) for path in data):
        sets = [AnnotatedImages(path) for path in data]
        return measured_scenes(bundle, sets, part or "val", limit, (), precision=precision)
    if len(data) > 1:
        raise ConfigError("--data: expected one set of class folders, or multi-task sets alone")
    images = LabelledImages(data[0])
    entries = images.of_part(part)
    return measured(bundle, images, evenly(entries, limit), qualities=(), precision=precision)


def _scores(row: dict[str, Any]) -> dict[str, float]:
    """Every task's; what classification agrees with the unsplit network where no label is known."""
    if "scores" in row:
        return dict(row["scores"])
    accuracy = row["accuracy"]
    return {"classification": row["agreement"] if accuracy is None else accuracy}


def _print(
    points: Sequence[dict[Precision, dict[str, float]]], frames: int, allowed: Sequence[Precision]
) -> None:
    table = Table("point", "task", *PRECISIONS, title=f"scores of {frames} photographs")
    for index, scores in enumerate(points):
        for task in scores["fp32"]:
            table.add_row(str(index), task, *(f"{scores[p][task]:.2%}" for p in PRECISIONS))
    console = Console()
    console.print(table)
    console.print(f"accurate enough: {', '.join(allowed)}; the manifest says so now")
