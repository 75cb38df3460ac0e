"""A whole training run: photographs and a recipe in, trained networks out.

The run directory holds the crops, a checkpoint per phase and the log; running the same command
again after a kill goes on where it stopped.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages, is_annotated
from narrows.images.labelled import Entry, LabelledImages
from narrows.models.backbones import Backbone, build_backbone
from narrows.models.bundle import load_weights
from narrows.training.data import Photographs, load_photographs
from narrows.training.log import Log
from narrows.training.recipe import TEACHER, Recipe
from narrows.training.scene_networks import network_of_bundle, new_network, pretrained_network
from narrows.training.scenes import Scenes, load_scenes
from narrows.training.split import SplitModel, train_models
from narrows.training.teacher import load_teacher
from narrows.training.unsplit import train_unsplit
from narrows.training.views import Crops, build_pool

KEEP_EVERY = 10  # photographs kept out of a set without parts


@dataclass(frozen=True)
class Request:
    """What a run is asked to do."""

    data: Path
    recipe: Recipe
    run: Path  # directory of crops, checkpoints and the log
    teacher: str | None = None
    teacher_weights: Path | None = None
    seed: int = 0
    part: str | None = None
    unsplit: Path | None = None  # a bundle whose unsplit network is split, instead of the recipe's
    crops: Path | None = None  # where the crops are kept, if not in `run`
    limit: int | None = None  # train on that many photographs, spread over the set
    more: tuple[Path, ...] = ()  # annotated sets beside `data`
    tasks: tuple[str, ...] = ()  # of annotated sets; none: all they tell
    begin: Path | None = None  # a bundle whose networks the recipe's begin from, where they fit


@dataclass(frozen=True)
class Started:
    """What every method of one run shares: photographs, crops, teacher, the unsplit network."""

    unsplit: Backbone
    backbone: str  # its architecture
    teacher: Backbone | None
    data: Photographs | Scenes
    pool: Crops
    kept_out: tuple[Entry, ...]  # of a labelled set; an annotated one has parts
    kept_out_name: str


def start(request: Request, say: Callable[[str], None]) -> Started:
    """Read the photographs and train, or load, the unsplit network.

    Raises:
        ConfigError: a run directory of another request, or no teacher where one is split.
        SourceError: the photographs cannot be read.
    """
    _same_run(request)
    if is_annotated(request.data):
        return _start_scenes(request, say)
    if request.tasks:
        raise ConfigError(f"--task: {request.data} has class folders, which tell one task")
    images = LabelledImages(request.data)
    seen, kept_out, kept_out_name = partition(images, request.part)
    if request.limit:
        seen = seen[:: -(-len(seen) // request.limit)]
    recipe = request.recipe
    order = Manifest.load(request.unsplit).folders if request.unsplit else ()
    data = load_photographs(images, seen, recipe.side, recipe.max_aspect, order)
    say(f"{len(data)} photographs of {len(data.labels)} classes; {len(kept_out)} kept out")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = _teacher(request, data)
    if teacher is not None:
        teacher.to(device)
    origin = f"{request.data.name} {request.teacher or request.unsplit}"
    cache = request.crops or request.run / "views.safetensors"
    probe = request.teacher is not None
    pool = build_pool(data, recipe.views, teacher, request.seed, cache, origin, probe)
    unsplit, backbone = _unsplit(request, teacher, pool, data, device, Log(request.run, say))
    return Started(unsplit, backbone, teacher, data, pool, kept_out, kept_out_name)


def _start_scenes(request: Request, say: Callable[[str], None]) -> Started:
    recipe = request.recipe
    sets = [AnnotatedImages(path) for path in (request.data, *request.more)]
    data = load_scenes(sets, request.part or "train", recipe.side, recipe.max_aspect)
    if request.tasks:
        data = data.of_tasks(request.tasks)
    if request.limit:
        data = replace(data, scenes=data.scenes[:: -(-len(data) // request.limit)])
    if request.teacher and (recipe.backbone != TEACHER or request.unsplit):
        raise ConfigError(
            f"--teacher {request.teacher}: of no use to annotated photographs, but where a recipe "
            f"splits the teacher itself; {recipe.name!r} does not"
        )
    torch.manual_seed(request.seed)
    backbone, trained = recipe.backbone, False
    if request.unsplit is not None:
        unsplit, backbone = network_of_bundle(request.unsplit, data.labels_of, recipe.stride)
    elif recipe.backbone == TEACHER:
        if request.teacher is None or request.teacher_weights is None:
            raise ConfigError(
                f"recipe {recipe.name!r} splits a pretrained network: give --teacher and "
                "--teacher-weights, or --unsplit with a bundle whose network is to be split"
            )
        backbone = request.teacher
        unsplit, labels_of = pretrained_network(backbone, request.teacher_weights, recipe)
        data = data.unlabelled(labels_of)
    else:
        unsplit, trained = new_network(recipe, data.labels_of, request.begin), True
    found = ", ".join(f"{len(names)} of {kind}" for kind, names in data.labels_of.items())
    say(f"{len(data)} photographs; classes: {found}")
    unsplit.to("cuda" if torch.cuda.is_available() else "cpu")
    if trained:
        weights: dict[str, float] = {kind: task.weight for kind, task in recipe.tasks.items()}
        log = Log(request.run, say)
        train_unsplit(unsplit, None, data, recipe.unsplit, request.seed, request.run, log, weights)
    return Started(unsplit, backbone, None, data, data, (), "part val")


def models(started: Started, request: Request, say: Callable[[str], None]) -> Iterator[SplitModel]:
    """Train, or load, the split networks of the request's recipe, the finest rate first."""
    yield from train_models(
        request.recipe, started.unsplit, started.backbone, started.teacher, started.pool,
        request.seed, request.run, Log(request.run, say), request.begin,
    )  # fmt: skip


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


def _teacher(request: Request, data: Photographs) -> Backbone | None:
    """The one asked for; else, where a bundle's network is split, that network."""
    labels, stride = len(data.labels), request.recipe.stride
    if request.teacher is not None:
        return load_teacher(request.teacher, request.teacher_weights, labels, stride)
    return None if request.unsplit is None else _of_bundle(request.unsplit, data, stride)


def _unsplit(
    request: Request,
    teacher: Backbone | None,
    pool: Crops,
    data: Photographs,
    device: torch.device,
    log: Log,
) -> tuple[Backbone, str]:
    recipe = request.recipe
    if request.unsplit is not None:
        unsplit = _of_bundle(request.unsplit, data, recipe.stride) if request.teacher else teacher
        assert unsplit is not None
        return unsplit.to(device), _named(request.unsplit)
    if recipe.backbone == TEACHER:
        if teacher is None or request.teacher is None:
            raise ConfigError(
                f"recipe {recipe.name!r} splits the teacher itself: give --teacher, or --unsplit "
                "with a bundle whose network is to be split"
            )
        return teacher.to(device), request.teacher
    torch.manual_seed(request.seed)
    backbone = build_backbone(recipe.backbone, len(data.labels), recipe.stride).to(device)
    train_unsplit(backbone, teacher, pool, recipe.unsplit, request.seed, request.run, log)
    return backbone, recipe.backbone


def _named(bundle: Path) -> str:
    return str(Manifest.load(bundle).tail["backbone"])


def _of_bundle(bundle: Path, data: Photographs, stride: int) -> Backbone:
    manifest = Manifest.load(bundle)
    if manifest.folders != data.folders:
        raise ConfigError(
            f"{bundle}: its classes are {', '.join(manifest.folders[:3])}..., the photographs' "
            f"{', '.join(data.folders[:3])}...: its network cannot be split for them"
        )
    backbone = build_backbone(_named(bundle), len(data.labels), stride)
    ours = [k for k in backbone.state_dict() if not k.endswith("tracked")]
    stored = build_backbone(_named(bundle), len(data.labels)).state_dict()
    names = [k for k in stored if not k.endswith("tracked")]
    tensors = load_weights(bundle, "unsplit")  # in any order: names give the layers'
    state = {k: tensors[name] for k, name in zip(ours, names, strict=True)}
    backbone.load_state_dict(state, strict=False)
    return backbone.requires_grad_(False).eval().to(memory_format=torch.channels_last)


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
        "unsplit": str(request.unsplit) if request.unsplit else None,
        "limit": request.limit,
    }
    if request.more or request.begin:
        asked |= {"more": [str(p) for p in request.more], "begin": str(request.begin)}
    if request.tasks:
        asked |= {"tasks": list(request.tasks)}
    if started.exists() and json.loads(started.read_text()) != asked:
        raise ConfigError(
            f"{request.run}: was started with another recipe, seed or teacher: use a new --run"
        )
    started.write_text(json.dumps(asked, indent=1))
