"""A scenario: a TOML file, validated on load; an unknown key is an error that names it.

`docs/simulation.md` explains the keys; the files beside this one are ready to run and to copy.
"""

import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from narrows.errors import ConfigError
from narrows.simulations.events.ways import way_named
from narrows.simulations.links.link import open_link

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCENARIOS = Path(__file__).parent
MOST_DEVICES = 100_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Strict):
    """Replicas of one server; the keys are `narrows serve`'s."""

    replicas: int = Field(default=1, ge=1, le=1000)
    max_batch: int = Field(default=16, ge=1, le=1024)
    max_waiting: int = Field(default=256, ge=1)
    threads: int = Field(default=1, ge=1)


class DeviceClass(_Strict):
    """Devices of one kind."""

    devices: int = Field(ge=1, le=MOST_DEVICES)
    fps: float = Field(gt=0, le=1000)
    link: str  # RATE,DELAY, a profile or a trace, as of the relay
    shared: bool = False  # all devices have one line, as of an access point; else each its own
    cpu_share: float = Field(default=1.0, gt=0, le=1)  # of one core of the measured machine
    battery_wh: float | None = Field(default=None, gt=0)  # at the start; then it stops
    active_watts: float | None = Field(default=None, ge=0)  # more than idle, while it computes
    radio_joules_per_mb: float | None = Field(default=None, ge=0)  # sent
    window: int = Field(default=4, ge=1, le=64)  # frames in flight

    @field_validator("link")
    @classmethod
    def _known_link(cls, value: str) -> str:
        return _checked(value, lambda text: open_link(text, seconds=1.0))


class Fault(_Strict):
    """Something that fails for a while."""

    kind: Literal["link", "killed", "frozen"]  # a class' links; a replica's process
    at_s: float = Field(ge=0)
    for_s: float = Field(gt=0)
    devices: str | None = None  # the class, of kind link; all classes by default
    replica: int = Field(default=0, ge=0)


class Scenario(_Strict):
    """Everything a simulation needs besides the seed."""

    name: str
    about: str = ""
    bundle: Path = Path("models/zoo/classify")
    seconds: float = Field(gt=0, le=86_400)
    deadline_ms: int = Field(ge=1)
    ways: tuple[str, ...] = Field(default=("fixed:0",), min_length=1)  # each is run by itself
    server: Server = Server()
    classes: dict[str, DeviceClass] = Field(min_length=1)
    faults: tuple[Fault, ...] = ()

    @field_validator("ways")
    @classmethod
    def _known_ways(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for way in value:
            _checked(way, way_named)
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> "Scenario":
        for number, fault in enumerate(self.faults):
            if fault.devices is not None and fault.devices not in self.classes:
                known = ", ".join(self.classes)
                raise ValueError(
                    f"faults.{number}.devices: no class {fault.devices!r}; there are {known}"
                )
            if fault.kind != "link" and fault.replica >= self.server.replicas:
                raise ValueError(
                    f"faults.{number}.replica: {fault.replica}, but server.replicas is "
                    f"{self.server.replicas}, counted from 0"
                )
        return self

    @property
    def devices(self) -> int:
        """Of all classes."""
        return sum(kind.devices for kind in self.classes.values())


def load_scenario(name_or_path: str) -> Scenario:
    """A shipped scenario by name, or one's own by path.

    Raises:
        ConfigError: no such scenario, not TOML, or a key unknown or out of range.
    """
    path = scenario_file(name_or_path)
    try:
        return Scenario.model_validate(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path.name}: {where + ': ' if where else ''}{first['msg']}") from None


def shipped() -> list[str]:
    """Names of the scenarios that come with Narrows."""
    return sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def scenario_file(name_or_path: str) -> Path:
    """Where it is written. Raises ConfigError where there is none."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = SCENARIOS / f"{name_or_path}.toml"
    if not path.is_file():
        raise ConfigError(
            f"no scenario {name_or_path!r}; shipped: {', '.join(shipped())}; or give a .toml file"
        )
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not TOML: {error}") from None


def _checked(text: str, parse: Any) -> str:
    try:
        parse(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text
