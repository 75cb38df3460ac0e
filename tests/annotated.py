"""A small multi-task set: bright squares of two colours on noise, with class, box and mask."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = {
    "classification": ["red", "green"],
    "detection": ["red", "green"],
    "segmentation": ["background", "red", "green"],
}


def write_set(root: Path, count: int = 12, seed: int = 0, size: tuple[int, int] = (60, 44)) -> Path:
    """Parts train (`count`) and val (4), pictures of `size` (width, height)."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.json").write_text(json.dumps(LABELS))
    for part, number in (("train", count), ("val", 4)):
        (root / part).mkdir()
        entries = [_write(root, f"{part}/{i}", i % 2, size, rng) for i in range(number)]
        (root / part / "annotations.json").write_text(json.dumps(entries))
    return root


def _write(
    root: Path, name: str, label: int, size: tuple[int, int], rng: np.random.Generator
) -> dict:
    width, height = size
    pixels = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
    edge = int(rng.integers(12, 22))
    x, y = int(rng.integers(0, width - edge)), int(rng.integers(0, height - edge))
    mask = np.zeros((height, width), np.uint8)
    pixels[y : y + edge, x : x + edge, label] = 255
    mask[y : y + edge, x : x + edge] = label + 1
    Image.fromarray(pixels).save(root / f"{name}.png")
    Image.fromarray(mask).save(root / f"{name}-mask.png")
    box = [label, x, y, x + edge, y + edge]
    return {"file": f"{name}.png", "label": label, "boxes": [box], "mask": f"{name}-mask.png"}
