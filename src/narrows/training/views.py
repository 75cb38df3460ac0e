"""A pool of crops and what the teacher says of each, made once and drawn from in every epoch.

The teacher would otherwise cost more than the student's own steps. Every crop is answered by the
teacher as the student sees it (Beyer et al., "Knowledge distillation: a good teacher is patient and
consistent", CVPR 2022); mirroring is drawn anew each time.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from narrows.models.backbones import Backbone
from narrows.training.data import Photographs, random_crop
from narrows.training.recipe import Views
from narrows.training.teacher import fit_probe, last_maps

GRID = 4  # the teacher's maps are kept as averages over GRID x GRID cells
_CHUNK = 50


@dataclass(frozen=True)
class Batch:
    """Pixels float32 (batch, 3, side, side) in 0..255, and what is wanted of them."""

    pixels: Tensor
    targets: Tensor  # int64 (batch,); -1: not known
    logits: Tensor | None  # the teacher's, float32 (batch, labels)
    maps: Tensor | None  # the teacher's last, float32 (batch, c, GRID, GRID)
    # Per sample {"boxes": float32 (n, 4) in pixels, "labels": int64 (n,)}, or None: not known.
    boxes: tuple[dict[str, Tensor] | None, ...] = ()
    masks: Tensor | None = None  # uint8 (batch, side, side), 255 where not known

    def to(self, device: torch.device) -> "Batch":
        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        boxes = (b if b is None else {k: moved(t) for k, t in b.items()} for b in self.boxes)
        others = (self.logits, self.maps, self.masks)
        logits, maps, masks = (t if t is None else moved(t) for t in others)
        return Batch(moved(self.pixels), moved(self.targets), logits, maps, tuple(boxes), masks)


class Crops(Protocol):
    """Where batches come from: a pool of crops, or scenes cropped anew in every epoch."""

    def __len__(self) -> int: ...

    def batches(self, batch: int, side: int, seed: int) -> Iterator[Batch]:
        """One epoch; the same seed gives the same."""
        ...


@dataclass(frozen=True)
class Pool:
    """`count` crops of each of n photographs; crop v of photograph i is row v * n + i."""

    pixels: Tensor  # uint8 (count * n, 3, side, side)
    targets: Tensor
    logits: Tensor | None
    maps: Tensor | None  # bfloat16
    photographs: int

    def __len__(self) -> int:
        return self.photographs

    def batches(self, batch: int, side: int, seed: int) -> Iterator[Batch]:
        """One epoch: every photograph once, by a crop of the pool. The last, smaller batch is left.

        The same seed gives the same epoch.
        """
        rng = np.random.default_rng(seed)
        n = self.photographs
        rows = rng.permutation(n) + n * rng.integers(0, len(self.pixels) // n, n)
        for start in range(0, n - batch + 1, batch):
            yield self._batch(torch.from_numpy(rows[start : start + batch]), side, rng)

    def _batch(self, rows: Tensor, side: int, rng: np.random.Generator) -> Batch:
        pixels = self.pixels[rows].float()
        logits = None if self.logits is None else self.logits[rows]
        maps = None if self.maps is None else self.maps[rows].float()
        if rng.random() < 0.5:
            pixels, maps = pixels.flip(-1), None if maps is None else maps.flip(-1)
        if side != pixels.shape[-1]:
            pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        return Batch(pixels, self.targets[rows], logits, maps)


def build_pool(
    data: Photographs,
    views: Views,
    teacher: Backbone | None,
    seed: int,
    cache: Path,
    origin: str,
    probe: bool = True,
) -> Pool:
    """Make the pool, or read it where `cache` holds this very one.

    `origin` names data and teacher: a cache of another is made again. `probe`: fit the teacher's
    classifier to the photographs; else it knows their classes already.
    """
    key = json.dumps([views.model_dump(), len(data), seed, origin])
    if (found := _cached(cache, key)) is None:
        found = _made(data, views, teacher, seed, probe)
        partial = cache.with_suffix(f".{os.getpid()}.partial")
        save_file(found, partial, metadata={"key": key})
        os.replace(partial, cache)
    if teacher is not None:
        teacher.classifier.load_state_dict(
            {k: found[f"classifier.{k}"] for k in ("weight", "bias")}
        )
    taught = (found.get("logits"), found.get("maps"))
    return Pool(found["pixels"], found["targets"], *taught, len(data))


def _cached(cache: Path, key: str) -> dict[str, Tensor] | None:
    if not cache.exists():
        return None
    with safe_open(cache, "pt") as file:
        if (file.metadata() or {}).get("key") != key:
            return None
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _made(
    data: Photographs, views: Views, teacher: Backbone | None, seed: int, probe: bool
) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    rows = [i for _ in range(views.count) for i in range(len(data))]
    pixels = torch.empty((len(rows), 3, views.side, views.side), dtype=torch.uint8)
    starts = range(0, len(rows), _CHUNK)
    features, maps = [], []
    console = Console(stderr=True)
    for start in track(
        starts, "crops and the teacher's view of them", console=console, transient=True
    ):
        chosen = rows[start : start + _CHUNK]
        crops = [
            random_crop(data.pictures[i], views.side, views.min_scale, rng).round() for i in chosen
        ]
        pixels[start : start + len(chosen)] = torch.stack(crops).to(torch.uint8)
        if teacher is not None:
            device = teacher.classifier.weight.device
            seen = last_maps(teacher, torch.stack(crops).to(device))
            features.append(teacher.penultimate(seen).cpu())
            maps.append(F.adaptive_avg_pool2d(seen, GRID).bfloat16().cpu())
    made = {"pixels": pixels, "targets": data.targets.repeat(views.count)}
    if teacher is None:
        return made
    seen = torch.cat(features)
    if probe:
        fit_probe(teacher, seen, made["targets"])
    with torch.no_grad():
        logits = teacher.classifier(seen.to(teacher.classifier.weight.device)).cpu()
    classifier = {f"classifier.{k}": v.cpu() for k, v in teacher.classifier.state_dict().items()}
    return made | classifier | {"logits": logits, "maps": torch.cat(maps).contiguous()}
