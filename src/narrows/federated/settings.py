"""What `flwr run` is told, and what a node knows of itself, typed.

A run's configuration has the same for all; `--node-config` of a SuperNode comes before it: where
the device's own photographs are (`data`), its copy of the bundle, its credentials, and whether it
answers without secure aggregation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context

from narrows.errors import ConfigError
from narrows.federated.photographs import Place

Scalar = str | bytes | bool | int | float


@dataclass(frozen=True)
class ServerSettings:
    """The server app's."""

    bundle: Path  # that the rounds begin from
    recipe: str
    out: Path  # the new bundle; `out`.rounds has the journal
    rounds: int
    least: int  # clients, to begin at all and in every round
    share: float  # of the clients that are asked in a round
    timeout_s: float  # for a round's replies
    seed: int
    key: Path | None  # signs the new bundle
    name: str  # of the new bundle; none: the old one's

    @classmethod
    def of(cls, config: Mapping[str, Scalar]) -> "ServerSettings":
        """Raises ConfigError for what is missing or out of range."""
        known = _Told(config)
        settings = cls(
            bundle=known.path("bundle"),
            recipe=known.text("recipe"),
            out=known.path("out"),
            rounds=known.whole("rounds", 1),
            least=known.whole("least-clients", 1),
            share=known.number("clients-per-round", 0.0, 1.0),
            timeout_s=known.number("timeout-seconds", 0.0, 1e6),
            seed=known.whole("seed", 0),
            key=Path(known.text("key")) if known.text("key") else None,
            name=known.text("name"),
        )
        if settings.out.exists():
            raise ConfigError(f"out {settings.out}: is there already: name another")
        return settings


@dataclass(frozen=True)
class ClientSettings:
    """A node's."""

    bundle: Path
    recipe: str
    place: Place
    rounds: int
    seed: int
    credentials: Path | None
    secure_only: bool  # answers no training in the clear

    @classmethod
    def of(cls, context: Context) -> "ClientSettings":
        """Raises ConfigError for what is missing or out of range."""
        told = _Told({**context.run_config, **context.node_config})
        own = "data" in context.node_config
        client = told.whole("partition-id", 0) if "partition-id" in told else 0
        clients = told.whole("num-partitions", 1) if "num-partitions" in told else 1
        partition = "" if own else told.text("partition")
        place = Place(told.path("data"), partition, client, clients, told.whole("seed", 0))
        credentials = told.text("credentials") if "credentials" in told else ""
        return cls(
            bundle=told.path("bundle"),
            recipe=told.text("recipe"),
            place=place,
            rounds=told.whole("rounds", 1),
            seed=told.whole("seed", 0) * 1_000_003 + client,
            credentials=Path(credentials) if credentials else None,
            secure_only=bool(told.get("secure-only", False)),
        )


class _Told(dict[str, Scalar]):
    """Values by key, checked as they are taken."""

    def text(self, key: str) -> str:
        value = self.get(key, "")
        if not isinstance(value, str):
            raise ConfigError(f"{key} = {value!r}: expected a text")
        return value

    def path(self, key: str) -> Path:
        if not (text := self.text(key)):
            raise ConfigError(f"{key}: expected a path, got nothing: set it in the run's or node's")
        return Path(text)

    def number(self, key: str, above: float, most: float) -> float:
        value = self.get(key)
        if not isinstance(value, int | float) or not above < value <= most:
            raise ConfigError(f"{key} = {value!r}: expected a number above {above}, to {most}")
        return float(value)

    def whole(self, key: str, least: int) -> int:
        value = self.get(key)
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{key} = {value!r}: expected a whole number of at least {least}")
        return value
