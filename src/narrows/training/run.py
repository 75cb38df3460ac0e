"""A whole training run: photographs and a recipe in, a measured bundle out.

The run directory holds a checkpoint per phase; running the same command again after a kill goes on
where it stopped.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision

from narrows.errors import ConfigError
from narrows.images.labelled import LabelledImages
from narrows.models.backbones import Backbone, build_backbone
from narrows.training.data import Photographs, load_photographs
from narrows.training.recipe import Recipe
from narrows.training.teacher import Teacher
from narrows.training.unsplit import train_unsplit


@dataclass(frozen=True)
class Request:
    """What a run is asked to do."""

    data: Path
    recipe: Recipe
    run: Path  # directory of checkpoints and the log
    teacher: str | None
    teacher_weights: Path | None
    seed: int
    part: str | None


def prepare(request: Request, report: Callable[[str], None]) -> tuple[Photographs, Teacher | None]:
    """Check the run directory, read the photographs, fit the teacher's probe."""
    _same_run(request)
    images = LabelledImages(request.data)
    part = request.part or ("train" if "train" in images.parts() else None)
    entries = images.of_part(part) if part else images.entries
    data = load_photographs(images, entries, request.recipe.side, request.recipe.max_aspect)
    report(f"{len(data)} photographs of {len(data.labels)} classes")
    if request.teacher is None:
        return data, None
    teacher = Teacher(request.teacher, request.teacher_weights)
    report(f"teacher's probe: {teacher.fit_probe(data, request.seed):.4f} of the training crops")
    return data, teacher


def unsplit_backbone(
    request: Request, data: Photographs, teacher: Teacher | None, report: Callable[[str], None]
) -> Backbone:
    """The trained unsplit network, from the run's checkpoint when it is finished."""
    torch.manual_seed(request.seed)
    recipe = request.recipe
    backbone = build_backbone(recipe.backbone, len(data.labels))
    if recipe.pretrained:
        _load_pretrained(backbone, recipe.backbone)
    train_unsplit(backbone, teacher, data, recipe, request.seed, request.run, report)
    return backbone


def _load_pretrained(backbone: Backbone, name: str) -> None:
    """torchvision's weights, all but the classifier; both networks list their layers in one order."""
    published = torchvision.models.get_model(name, weights="DEFAULT").state_dict()
    ours = backbone.state_dict()
    pairs = list(zip(ours, published.values(), strict=True))
    backbone.load_state_dict({k: v if ours[k].shape == v.shape else ours[k] for k, v in pairs})


def _same_run(request: Request) -> None:
    """A run directory belongs to one recipe and seed: mixing two would train neither.

    Raises:
        ConfigError: the directory was started with another recipe, seed or teacher.
    """
    request.run.mkdir(parents=True, exist_ok=True)
    started = request.run / "run.json"
    asked = {
        "recipe": request.recipe.model_dump(mode="json"),
        "seed": request.seed,
        "teacher": request.teacher,
    }
    if started.exists() and json.loads(started.read_text()) != asked:
        raise ConfigError(f"{request.run}: was started with another recipe, seed or teacher: use a new --run")
    started.write_text(json.dumps(asked, indent=1))
