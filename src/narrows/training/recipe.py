"""A training recipe: a TOML file, validated on load; an unknown key is an error that names it."""

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from narrows.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Phase(_Strict):
    """One optimisation: AdamW, linear warm-up, then cosine to zero."""

    epochs: int = Field(ge=0)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(gt=0)
    rest_rate: float = Field(default=1.0, ge=0)  # learning rate of pretrained parts, relative
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)  # share of all steps
    sides: tuple[int, ...] = (160,)  # crop side in pixels, one per equal share of the epochs
    min_scale: float = Field(default=0.25, gt=0, le=1)  # smallest crop, as a share of the area
    mixup: float = Field(default=0.0, ge=0)  # Beta(a, a) of Zhang et al. 2018; 0 switches it off


class SplitPhase(Phase):
    """Training of the split network at given rates; later phases go on from earlier ones."""

    rates: tuple[float, ...] = Field(min_length=1)  # lambda per operating point, finest first


class Loss(_Strict):
    """Weights of the loss terms; rates in bits per input pixel."""

    label: float = 0.5  # cross entropy with the labels
    teacher: float = 0.5  # KL to the teacher's distribution (Hinton et al. 2015)
    temperature: float = Field(default=2.0, gt=0)
    maps: float = 0.0  # relative squared error to the teacher's last feature map (FitNets)
    rate_warmup: float = Field(default=0.25, gt=0, le=1)  # share of a phase in which rates grow
    features: float = 0.0  # squared error to the unsplit network's features at the cut


class HeadSpec(_Strict):
    width: int = Field(default=64, ge=1)
    hidden: int = Field(default=64, ge=1)
    blocks: int = Field(default=2, ge=0)
    channels: int = Field(default=48, ge=1)


class Recipe(_Strict):
    """Everything a training run needs besides the photographs and the seed."""

    name: str
    backbone: str
    pretrained: bool = False  # torchvision's weights for the backbone, fetched by torchvision
    side: int = Field(default=224, ge=32)  # short side at which the network is used
    max_aspect: float = Field(default=2.0, ge=1)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    head: HeadSpec = HeadSpec()
    decoder_blocks: int = Field(default=1, ge=0)
    unsplit: Phase
    split: tuple[SplitPhase, ...] = Field(min_length=1)
    unsplit_loss: Loss = Loss()
    split_loss: Loss = Loss(features=1.0)

    @model_validator(mode="after")
    def _points_fit(self) -> "Recipe":
        if len({len(phase.rates) for phase in self.split}) != 1:
            raise ValueError("every split phase needs the same number of rates")
        for phase in self.split:
            if phase.batch % len(phase.rates):
                raise ValueError(f"split batch {phase.batch}: not a multiple of its rates' number")
        return self


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
        return Recipe.model_validate(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: not TOML: {error}") from None
