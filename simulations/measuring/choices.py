"""The ways that are measured: operating points, pictures sent, the whole network on the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from narrows.codec.manifest import Manifest
from narrows.edge.encoder import PICTURE_OPTIONS
from narrows.errors import ConfigError

Kind = Literal["point", "upload", "local"]
LOCAL = "local"
NO_LINK = "none"


@dataclass(frozen=True)
class Choice:
    """One way, by its name: `5`, `jpeg:75` or `local`."""

    name: str
    kind: Kind

    def __str__(self) -> str:
        return f"point {self.name}" if self.kind == "point" else self.name

    def arguments(self, whole: Path | None) -> list[str]:
        """Of `narrows edge`; `whole`: the unsplit network as ONNX, for `local`."""
        if self.kind == "local":
            return ["--local", str(whole)]
        return ["--point" if self.kind == "point" else "--upload", self.name]


@dataclass(frozen=True)
class Cell:
    """A way over a link; `local` sends nothing and is measured once, without any."""

    link: str
    choice: Choice

    def __str__(self) -> str:
        return str(self.choice) if self.link == NO_LINK else f"{self.choice}, {self.link}"


def choices_of(text: str, manifest: Manifest) -> tuple[Choice, ...]:
    """Read `0,5,jpeg:75,local`. Raises ConfigError."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError("--choices: expected some, such as 0,5,jpeg:75,local")
    return tuple(_choice(name, manifest) for name in names)


def cells_of(choices: Sequence[Choice], links: Sequence[str]) -> tuple[Cell, ...]:
    """Every choice over every link."""
    sent = [Cell(link, choice) for link in links for choice in choices if choice.kind != LOCAL]
    alone = [Cell(NO_LINK, choice) for choice in choices if choice.kind == LOCAL]
    return (*sent, *alone)


def _choice(name: str, manifest: Manifest) -> Choice:
    if name == LOCAL:
        if not manifest.labels:
            raise ConfigError(f"--choices local: {manifest.name} has no labels to answer with")
        return Choice(name, "local")
    codec, _, quality = name.partition(":")
    if codec in PICTURE_OPTIONS and quality.isdigit() and 1 <= int(quality) <= 100:
        return Choice(name, "upload")
    points = [str(point.id) for point in manifest.operating_points]
    if name not in points:
        have = ", ".join(points)
        raise ConfigError(
            f"--choices {name}: expected an operating point of {manifest.name} ({have}), a picture "
            "such as jpeg:75 or webp:50, or local"
        )
    return Choice(name, "point")
