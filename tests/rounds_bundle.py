"""A tiny bundle that can learn, photographs to learn from, and a recipe that takes no time."""

from pathlib import Path

import numpy as np
from bundles import CHANNELS, LABELS, SIDE, write_tiny_bundle
from PIL import Image

from narrows.codec.manifest import Manifest
from narrows.models.bundle import write_manifest

RECIPE = {
    "name": "tiny",
    "backbone": "mobilenet_v3_small",
    "side": SIDE,
    "unsplit": [{"epochs": 1, "learning_rate": 1e-3}],
    "encoder": {"kind": "patch", "channels": CHANNELS, "width": 8, "hidden": 8, "blocks": 1},
    "coding": {"kind": "rated", "rates": [2.0, 8.0, 32.0]},
    "decoder": {"kind": "slim"},
    "split": [{"epochs": 1, "batch": 6, "learning_rate": 1e-3}],
}
ROUNDS = """
name = "tiny"
compressed = {compressed}
[local]
trains = {trains}
epochs = 1
batch = 6
learning_rate = 1e-3
weight_decay = 0.0
warmup = 0.0
side = 32
loss = {{ label = 0.5, teacher = 0.5 }}
{more}
"""


def write_learning_bundle(path: Path) -> Manifest:
    """The tiny one, with the recipe by which it can be trained."""
    write_tiny_bundle(path)
    fields = Manifest.load(path).as_dict()
    fields["provenance"] = {"recipe": RECIPE, "int8_calibration": "of the head before"}
    return write_manifest(path, fields)


def write_rounds_recipe(
    path: Path,
    trains: tuple[str, ...] = ("encoder", "prior"),
    compressed: bool = False,
    more: str = "",
) -> Path:
    """A recipe for rounds with that bundle; `more`: TOML that goes at its end."""
    told = ROUNDS.format(trains=list(trains), compressed=str(compressed).lower(), more=more)
    path.write_text(told)
    return path


def write_photographs(folder: Path, count: int, seed: int = 0) -> Path:
    """Class folders of blotches whose colour tells the class."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        blotch = rng.integers(0, 120, (5, 5, 3), np.uint8)
        blotch[..., number % 3] += 130
        picture = Image.fromarray(blotch).resize((SIDE + 8, SIDE), Image.Resampling.BICUBIC)
        path = folder / label / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return folder
