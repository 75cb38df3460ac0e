"""What boards and radios draw, as data: `boards.toml`, or a file by `narrows bench energy`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).with_name("boards.toml")
DEVICE_TREE = Path("/proc/device-tree/model")
KNOWN = (
    ("Raspberry Pi 4", "pi4"),
    ("Raspberry Pi 5", "pi5"),
    ("Compute Module 5", "pi5"),
    ("Orin Nano", "orin-nano"),
)
OTHER = "x86"


@dataclass(frozen=True)
class Board:
    """Watts of a board: with nothing to do, and what one busy core adds."""

    name: str
    about: str
    idle_w: float
    core_w: float
    source: str


@dataclass(frozen=True)
class Radio:
    """Joules of a byte towards the server (up) and back (down)."""

    name: str
    up_j: float
    down_j: float
    source: str


NO_RADIO = Radio("none", 0.0, 0.0, "Loopback: no radio.")


def load_board(name: str) -> Board:
    """A shipped board's name, or a TOML file of one. Raises ConfigError."""
    if name.endswith(".toml"):
        boards = _read(Path(name)).get("boards")
        if not isinstance(boards, dict) or len(boards) != 1:
            raise ConfigError(f"{name}: expected one table [boards.NAME]")
        return _board(*next(iter(boards.items())))
    boards = _read(SHIPPED)["boards"]
    if name not in boards:
        raise ConfigError(f"no board {name!r}; there are {', '.join(boards)}, or a .toml file")
    return _board(name, boards[name])


def this_board(model: Path = DEVICE_TREE) -> Board:
    """The shipped board that this machine is, by its device tree; without one: x86."""
    try:
        told = model.read_text()
    except OSError:
        told = ""
    return load_board(next((name for text, name in KNOWN if text in told), OTHER))


def radio_of(link: str) -> Radio:
    """The radio of a link's profile, such as `lte:7`; `none` has none."""
    if link == "none":
        return NO_RADIO
    radios, name = _read(SHIPPED)["radios"], link.partition(":")[0]
    name = name if name in radios else "other"
    return Radio(name, **radios[name])


def save_board(board: Board, path: Path) -> None:
    """Write a board as a TOML file. Raises ConfigError."""
    text = (
        f'[boards.{board.name}]\nabout = "{board.about}"\nidle_w = {board.idle_w:.4f}\n'
        f'core_w = {board.core_w:.4f}\nsource = "{board.source}"\n'
    )
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def _board(name: str, found: dict[str, Any]) -> Board:
    try:
        board = Board(name, **found)
    except TypeError:
        raise ConfigError(
            f"board {name}: expected about, idle_w, core_w and source, got {found}"
        ) from None
    if not all(isinstance(w, (int, float)) and w >= 0 for w in (board.idle_w, board.core_w)):
        raise ConfigError(f"board {name}: idle_w and core_w are watts of 0 or more")
    return board


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a board's file: {error}") from None
