"""What learns in federated rounds, and how: a TOML file, validated on load.

federated/recipes holds ours; docs/federated.md explains the keys.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from narrows.errors import ConfigError
from narrows.training.recipe import SplitPhase, Strict, first_error, read_toml

RECIPES = Path(__file__).parent / "recipes"


class Averaging(Strict):
    """Flower's strategy that makes the next model of the clients' ones."""

    kind: Literal["fedavg", "fedavgm", "fedprox", "fedadam", "fedyogi"] = "fedavg"
    server_rate: float = Field(default=0.01, gt=0)  # of fedadam and fedyogi
    server_momentum: float = Field(default=0.0, ge=0, lt=1)  # of fedavgm
    proximal_mu: float = Field(default=0.0, ge=0)  # of fedprox


class Secure(Strict):
    """Secure aggregation: the server learns sums alone."""

    clipping_norm: float = Field(gt=0)
    levels: int = Field(default=127, ge=1)
    kept: float = Field(default=1.0, gt=0, le=1)
    noise_multiplier: float = Field(default=0.0, ge=0)  # above 0: differential privacy
    delta: float = Field(default=1e-5, gt=0, lt=1)


class RoundsRecipe(Strict):
    """Everything that rounds need besides a bundle, photographs, and who takes part."""

    name: str
    about: str = ""
    local: SplitPhase  # what a client does in a round; its learning rate falls over all rounds
    averaging: Averaging = Averaging()
    compressed: bool = True  # updates travel as coded differences
    secure: Secure | None = None

    @model_validator(mode="after")
    def _one_way_to_travel(self) -> "RoundsRecipe":
        if self.secure and self.compressed:
            raise ValueError(
                "compressed updates cannot be summed under masks: set compressed = false, and "
                "`kept` and `levels` of [secure] make updates small instead"
            )
        if self.secure and self.secure.noise_multiplier and self.averaging.kind != "fedavg":
            raise ValueError(f"noise is added to fedavg's mean, not to {self.averaging.kind}'s")
        return self


def load_rounds_recipe(name_or_path: str) -> RoundsRecipe:
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
        return RoundsRecipe.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(f"{path.name}: {first_error(error)}") from None
