"""`narrows train` from photographs to a measured bundle: learning, export, then measuring."""

import importlib.metadata
import json
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from narrows.images.annotated import AnnotatedImages, is_annotated
from narrows.images.labelled import LabelledImages
from narrows.models.bundle import stamp
from narrows.simulations.evaluation_report import measured, print_evaluation
from narrows.simulations.quantisation import quantised
from narrows.simulations.scene_evaluation import measured_scenes, print_scenes, tells
from narrows.training.cluster import train_on_cluster
from narrows.training.export import export
from narrows.training.run import Request, Started, models, start
from narrows.training.split import SplitModel


def run_training(
    request: Request, out: Path, name: str | None, workers: int, as_json: bool
) -> None:
    """Train, export to `out`, measure on photographs kept out of training. Raises NarrowsError."""
    if workers > 1:
        train_on_cluster(request, workers)
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False)

    started = start(request, say)
    found = []
    for number, model in enumerate(models(started, request, say)):
        target = out if request.recipe.coding.variable else out / f"rate-{number}"
        found.append(_bundle(target, name or out.name, model, started, request))
    for figures in found:
        if as_json:
            print(json.dumps(figures))
        else:
            (print_scenes if "metrics" in figures else print_evaluation)(figures)


def _bundle(
    out: Path, name: str, model: SplitModel, started: Started, request: Request
) -> dict[str, Any]:
    """Export, quantise where our kernels run the head, measure, and put in the place of `out`."""
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    manifest = export(partial, name, model, started, request.recipe, _provenance(request, started))
    quantised(partial, manifest, started.data.pictures, request.data.name)
    if is_annotated(request.data):
        sets = [AnnotatedImages(path) for path in (request.data, *request.more)]
        telling = [s for s in sets if tells(s, manifest.labels_of)]
        figures = measured_scenes(partial, telling, "val")
    else:
        figures = measured(partial, LabelledImages(request.data), started.kept_out)
    stamp(
        partial,
        figures,
        f"{_names(request)}, {started.kept_out_name}: {figures['frames']} photographs",
    )
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return figures


def _provenance(request: Request, started: Started) -> dict[str, Any]:
    return {
        "data": f"{_names(request)}, {len(started.data)} photographs",
        "recipe": request.recipe.model_dump(mode="json"),
        "seed": request.seed,
        "teacher": request.teacher or "none",
        "unsplit": request.unsplit.name if request.unsplit else "trained here",
        "begin": request.begin.name if request.begin else "none",
        "commit": _commit(),
        "narrows": importlib.metadata.version("narrows"),
        "torch": importlib.metadata.version("torch"),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


def _names(request: Request) -> str:
    return " + ".join(path.name for path in (request.data, *request.more))


def _commit() -> str:
    git = shutil.which("git")
    if not git:
        return "unknown"
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        [git, "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
