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
from narrows.images.labelled import Entry, LabelledImages
from narrows.models.backbones import Backbone, build_backbone
from narrows.training.data import Photographs, load_photographs
from narrows.training.recipe import Recipe
from narrows.training.split import SplitModel, train_split
from narrows.training.teacher import Teacher
from narrows.training.unsplit import train_unsplit

KEEP_EVERY = 10  # photographs kept out of a set without parts


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


@dataclass(frozen=True)
class Trained:
    """What a run ends with, and the photographs it never saw."""

    unsplit: Backbone
    split: SplitModel
    labels: tuple[str, ...]
    folders: tuple[str, ...]
    photographs: int
    kept_out: tuple[Entry, ...]
    kept_out_name: str


def train_network(request: Request, report: Callable[[str], None]) -> Trained:
    """Run, or go on with, every phase. Raises ConfigError and SourceError."""
    _same_run(request)
    images = LabelledImages(request.data)
    seen, kept_out, kept_out_name = partition(images, request.part)
    recipe = request.recipe
    data = load_photographs(images, seen, recipe.side, recipe.max_aspect)
    report(f"{len(data)} photographs of {len(data.labels)} classes; {len(kept_out)} kept out")
    teacher = _fitted_teacher(request, data, report)
    unsplit = unsplit_backbone(request, data, teacher, report)
    split = train_split(unsplit, teacher, data, recipe, request.seed, request.run, report)
    names = (data.labels, data.folders)
    return Trained(unsplit.eval(), split, *names, len(data), kept_out, kept_out_name)


def partition(
    images: LabelledImages, part: str | None
) -> tuple[tuple[Entry, ...], tuple[Entry, ...], str]:
    """Photographs to train on, those kept out, and what to call the latter.

    `part` or `train` against `val` or `test` where the set has parts; else every tenth is kept out.
    """
    parts = images.parts()
    seen_part = part or ("train" if "train" in parts else None)
    kept_part = next((p for p in ("val", "test") if p in parts and p != seen_part), None)
    if seen_part and kept_part:
        return images.of_part(seen_part), images.of_part(kept_part), f"part {kept_part}"
    entries = images.of_part(seen_part) if seen_part else images.entries
    kept_out = entries[::KEEP_EVERY]
    return tuple(e for e in entries if e not in set(kept_out)), kept_out, f"every {KEEP_EVERY}th"


def _fitted_teacher(
    request: Request, data: Photographs, report: Callable[[str], None]
) -> Teacher | None:
    if request.teacher is None:
        return None
    teacher = Teacher(request.teacher, request.teacher_weights)
    report(f"teacher's probe: {teacher.fit_probe(data, request.seed):.4f} of the training crops")
    return teacher


def unsplit_backbone(
    request: Request, data: Photographs, teacher: Teacher | None, report: Callable[[str], None]
) -> Backbone:
    """The trained unsplit network, from the run's checkpoint when it is finished."""
    torch.manual_seed(request.seed)
    recipe = request.recipe
    backbone = build_backbone(recipe.backbone, len(data.labels))
    if recipe.pretrained:
        _load_pretrained(backbone, recipe.backbone)
    state = request.run / "unsplit.safetensors"
    train_unsplit(backbone, teacher, data, recipe, recipe.unsplit, request.seed, state, report)
    return backbone


def _load_pretrained(backbone: Backbone, name: str) -> None:
    """torchvision's weights, all but the classifier; both list their layers in one order."""
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
        raise ConfigError(
            f"{request.run}: was started with another recipe, seed or teacher: use a new --run"
        )
    started.write_text(json.dumps(asked, indent=1))
