"""A fleet of cameras that see unlike things: photographs dealt by class, and worn by conditions.

Every camera is a folder with parts `train` and `val`, as `narrows rounds start --partition folders`
takes them. A real set's photographs go through what happens to a camera outdoors; how much of it,
each camera draws once and keeps: its lens does not clean itself.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.console import Console
from rich.progress import track

from narrows.federated.partition import dirichlet
from narrows.images.labelled import Entry, LabelledImages

Pixels = NDArray[np.float32]  # (height, width, 3) in 0..255
Wear = Callable[[Pixels, float, np.random.Generator], Pixels]


def _clear(pixels: Pixels, much: float, chance: np.random.Generator) -> Pixels:
    return pixels


def _night(pixels: Pixels, much: float, chance: np.random.Generator) -> Pixels:
    """A third to an eighth of the light, and the noise of the few photons that there are."""
    light = pixels / (3 + 5 * much)
    photons = 6.0  # a unit's, at such a gain
    return (chance.poisson(light * photons) / photons + chance.normal(0, 2, pixels.shape)).astype(
        np.float32
    )


def _noise(pixels: Pixels, much: float, chance: np.random.Generator) -> Pixels:
    return (pixels + chance.normal(0, 12 + 18 * much, pixels.shape)).astype(np.float32)


def _fog(pixels: Pixels, much: float, chance: np.random.Generator) -> Pixels:
    clear = 0.55 - 0.25 * much
    return (pixels * clear + 190 * (1 - clear)).astype(np.float32)


def _defocus(pixels: Pixels, much: float, chance: np.random.Generator) -> Pixels:
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(1.5 + 2 * much)), np.float32)


CONDITIONS: dict[str, Wear] = {
    "clear": _clear, "night": _night, "noise": _noise, "fog": _fog, "defocus": _defocus,
}  # fmt: skip


def make_cameras(
    images: LabelledImages, out: Path, each: int, seen: int, kept: int, alpha: float, seed: int
) -> list[Path]:
    """`each` cameras of every condition, with about so many photographs to learn and to measure.

    Classes are skewed by a Dirichlet distribution, alike in a camera's two parts. Those of the
    set's part `train` are learnt from, those of `val` measured with.

    Raises:
        SourceError: a set without these parts.
    """
    chance = np.random.default_rng(seed)
    train, val = images.of_part("train"), images.of_part("val")
    count = each * len(CONDITIONS)
    chosen = [train[i] for i in chance.permutation(len(train))[: count * seen]]
    dealt = dirichlet([entry.folder for entry in chosen], count, alpha, seed, least=seen // 4)
    cameras = []
    for number, rows in enumerate(track(dealt, "cameras", console=Console(stderr=True))):
        kind = list(CONDITIONS)[number % len(CONDITIONS)]
        folder = out / f"{number:02d}-{kind}"
        mine = [chosen[row] for row in rows]
        _write(images, mine, folder / "train", kind, chance)
        folders = [entry.folder for entry in mine]
        alike = [val[i] for i in _alike(folders, val, kept, chance)]
        _write(images, alike, folder / "val", kind, chance)
        cameras.append(folder)
    return cameras


def _alike(
    folders: list[str], val: tuple[Entry, ...], kept: int, chance: np.random.Generator
) -> list[int]:
    """Places of `kept` photographs whose classes are drawn from `folders`, none twice."""
    weights = np.array([folders.count(entry.folder) for entry in val], float)
    within = min(kept, int((weights > 0).sum()))
    drawn = chance.choice(len(val), within, replace=False, p=weights / weights.sum())
    return sorted(drawn.tolist())


def _write(
    images: LabelledImages,
    entries: list[Entry],
    folder: Path,
    kind: str,
    chance: np.random.Generator,
) -> None:
    much = float(np.random.default_rng(sum(map(ord, folder.parent.name))).random())
    for entry in entries:
        pixels = np.asarray(images.image(entry.name).convert("RGB"), np.float32)
        worn = CONDITIONS[kind](pixels, much, chance)
        path = folder / entry.folder / Path(entry.name).with_suffix(".png").name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(worn, 0, 255).round().astype(np.uint8)).save(path)
