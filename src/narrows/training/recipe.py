"""A training recipe: a TOML file, validated on load; an unknown key is an error that names it.

Losses, schedules, what is trained in which phase, the bottleneck and its rates are all data here:
docs/recipes.md explains the keys, training/recipes holds every published method.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from narrows.errors import ConfigError
from narrows.models.backbones.backbone import IMAGENET
from narrows.models.bottlenecks import build_decoder, build_encoder
from narrows.models.head import Head
from narrows.models.tasks import TaskHeads

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"
TEACHER = "teacher"  # as a backbone's name: split the teacher itself

# "heads": what of the rest answers, classifier and tasks' heads, where the body does not learn
Part = Literal["encoder", "prior", "decoder", "rest", "heads"]


class Strict(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Loss(Strict):
    """Weights of the loss terms."""

    label: float = 0.3  # cross entropy with the labels
    teacher: float = 0.7  # KL to the teacher's distribution (Hinton et al. 2015)
    temperature: float = Field(default=2.0, gt=0)
    maps: float = 0.0  # relative squared error to the teacher's last feature map (FitNets)
    features: float = 0.0  # relative squared error to the unsplit network's features
    stages: Literal["cut", "all"] = "cut"  # which of them: HND's one, or GHND's four
    tasks: float = 1.0  # all heads beside the classifier, each by its own weight
    saliency: bool = False  # where the teacher looks counts double (FrankenSplit)


class Task(Strict):
    """A head beside the classifier; keys that are not its own go to models/tasks."""

    model_config = ConfigDict(extra="allow", frozen=True)
    weight: float = Field(default=1.0, ge=0)  # of its loss

    @property
    def head(self) -> dict[str, Any]:
        """What its head is built from, but for the labels."""
        return dict(self.model_extra or {})


class Phase(Strict):
    """One optimisation, with a warm-up."""

    epochs: int = Field(ge=1)
    batch: int = Field(default=32, ge=1)
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"  # sgd: with momentum 0.9
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["cosine", "steps"] = "cosine"
    steps: tuple[float, ...] = ()  # shares of the run after which the rate falls to a tenth
    warmup: float = Field(default=0.05, ge=0, lt=1)  # share of all steps
    side: int = Field(default=160, ge=32)  # pixels of the training crops
    loss: Loss = Loss()


class SplitPhase(Phase):
    """Training of the split network; later phases go on from earlier ones."""

    trains: tuple[Part, ...] = ("encoder", "prior", "decoder", "rest")
    rest_rate: float = Field(default=0.3, ge=0)  # learning rate of the backbone's rest, relative
    rate: float = Field(default=1.0, ge=0)  # share of the recipe's rates reached in this phase
    rate_warmup: float = Field(default=0.25, gt=0, le=1)  # share of the phase in which they grow


class Views(Strict):
    """Crops of every photograph, made once, and what the teacher says of them."""

    count: int = Field(default=5, ge=1)
    side: int = Field(default=192, ge=32)
    min_scale: float = Field(default=0.3, gt=0, le=1)  # smallest crop, as a share of the area


class Rated(Strict):
    """Gain vectors and factorised priors."""

    kind: Literal["rated"]
    rates: tuple[float, ...] = Field(min_length=1)  # nats of loss per bit per pixel, finest first
    variable: bool = True  # one model for all rates; else each is trained, from the one before


class Hyperprior(Strict):
    """Mean-scale hyperprior (Minnen et al. 2018), one model a rate."""

    kind: Literal["hyperprior"]
    rates: tuple[float, ...] = Field(min_length=1)
    hidden: int = Field(default=16, ge=1)
    variable: Literal[False] = False


class Uniform(Strict):
    """A fixed number of bits an element, no entropy coding; `members` of an ensemble per point."""

    kind: Literal["uniform"]
    bits: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(min_length=1)
    members: tuple[int, ...] = ()
    variable: Literal[True] = True

    @property
    def rates(self) -> tuple[float, ...]:
        return (0.0,) * len(self.bits)


class Recipe(Strict):
    """Everything a training run needs besides the photographs and the seed."""

    name: str
    about: str = ""  # what it is and where it was published
    backbone: str = TEACHER
    stride: Literal[4, 8] = 8  # where the backbone is cut
    side: int = Field(default=224, ge=32)  # short side at which the network is used
    max_aspect: float = Field(default=2.0, ge=1)
    views: Views = Views()
    unsplit: tuple[Phase, ...] = ()  # none where the teacher itself is split
    encoder: dict[str, Any]
    coding: Annotated[Rated | Uniform | Hyperprior, Field(discriminator="kind")]
    decoder: dict[str, Any]
    tasks: dict[Literal["detection", "segmentation"], Task] = {}  # beside classification
    freeze_norms: bool = True  # of the backbone's rest: its statistics are a pretrained network's
    continued: float = Field(default=0.25, gt=0, le=1)  # epochs of a further rate, as a share
    split: tuple[SplitPhase, ...] = Field(min_length=1)

    @property
    def points(self) -> int:
        """Operating points that one model serves."""
        return len(self.coding.rates) if self.coding.variable else 1

    @model_validator(mode="after")
    def _parts_fit(self) -> "Recipe":
        try:
            channels = Head(build_encoder(self.encoder, IMAGENET)).channels
            build_decoder(self.decoder, channels, 32)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        self._check_tasks()
        for phase in self.split:
            if phase.batch % self.points:
                raise ValueError(
                    f"split batch {phase.batch}: not a multiple of its {self.points} points"
                )
        if self.backbone != TEACHER and not self.unsplit:
            raise ValueError(f"backbone {self.backbone!r} needs an [[unsplit]] phase to train it")
        return self

    def heads(self, labels: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """A bundle's `tasks` entry: every head's configuration, for the data's classes."""
        return {
            name: task.head | {"labels": len(labels.get(name, ())) or 2}
            for name, task in self.tasks.items()
        }

    def _check_tasks(self) -> None:
        body = nn.Sequential(*(nn.Identity() for _ in range(4 if self.stride == 4 else 3)))
        try:
            TaskHeads(self.heads({}), body, 64, self.stride)
        except ConfigError as error:
            raise ValueError(str(error)) from None


def load_recipe(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or one's own by path.

    Raises:
        ConfigError: no such recipe, not TOML, or a key unknown or out of range.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise ConfigError(f"no recipe {name_or_path!r}; shipped: {shipped}; or give a .toml file")
    try:
        return Recipe.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(f"{path.name}: {first_error(error)}") from None


def first_error(error: ValidationError) -> str:
    """Its first finding: which key, and what is wrong."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where + ': ' if where else ''}{first['msg']}"


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ConfigError for what is not TOML."""
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: not TOML: {error}") from None
