"""`narrows train` from photographs to a measured bundle: learning, export, then measuring."""

import importlib.metadata
import json
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from narrows.images.labelled import LabelledImages
from narrows.models.bundle import stamp
from narrows.simulations.evaluation_report import measured, print_evaluation
from narrows.training.export import export
from narrows.training.recipe import load_recipe
from narrows.training.run import Request, train_network


def run_training(
    data: Path,
    out: Path,
    recipe: str,
    name: str | None,
    teacher: str | None,
    teacher_weights: Path | None,
    run: Path | None,
    part: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train, export to `out`, measure on photographs kept out of training. Raises NarrowsError."""
    loaded = load_recipe(recipe)
    request = Request(
        data, loaded, run or Path("runs") / loaded.name, teacher, teacher_weights, seed, part
    )
    console = Console(stderr=True)
    trained = train_network(request, lambda line: console.print(line, highlight=False))
    provenance = _provenance(request, trained.photographs)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    export(partial, name or out.name, trained, loaded, provenance)
    figures = measured(partial, LabelledImages(data), trained.kept_out)
    stamp(
        partial, figures, f"{data.name}, {trained.kept_out_name}: {figures['frames']} photographs"
    )
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    print(json.dumps(figures)) if as_json else print_evaluation(figures)


def _provenance(request: Request, photographs: int) -> dict[str, Any]:
    return {
        "data": f"{request.data.name}, {photographs} photographs",
        "recipe": request.recipe.model_dump(mode="json"),
        "seed": request.seed,
        "teacher": request.teacher or "none",
        "commit": _commit(),
        "narrows": importlib.metadata.version("narrows"),
        "torch": importlib.metadata.version("torch"),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


def _commit() -> str:
    git = shutil.which("git")
    if not git:
        return "unknown"
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        [git, "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
