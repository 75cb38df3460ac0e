"""Annotated photographs in memory, one set or several, and random crops of them with all they know.

Several sets become one: classes of one name are one class, and a photograph says nothing of classes
that its own set does not have.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from narrows.errors import ConfigError, SourceError
from narrows.images.annotated import AnnotatedImages
from narrows.images.annotations import UNKNOWN, Annotation, TaskKind
from narrows.images.preprocess import View, prepare
from narrows.training.data import jittered
from narrows.training.views import Batch

MIN_SCALE = 0.35  # of a crop, as a share of the picture's area
MIN_SEEN = 0.35  # of a box's area: one cropped further is no example of its class


@dataclass(frozen=True, eq=False)
class Scene:
    """A photograph at the network's size; its annotations in its pixels and the sets' classes."""

    picture: NDArray[np.uint8]  # (height, width, 3)
    label: int  # -1: not known
    boxes: Tensor | None  # float32 (n, 4); None: not all that are there are known
    classes: Tensor  # int64 (n,)
    mask: NDArray[np.uint8] | None  # (height, width)


@dataclass(frozen=True)
class Scenes:
    """All photographs of a part, and every task's classes: data and crops in one."""

    scenes: tuple[Scene, ...]
    labels_of: dict[TaskKind, tuple[str, ...]]
    folders: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def pictures(self) -> list[NDArray[np.uint8]]:
        """uint8 (height, width, 3) each."""
        return [scene.picture for scene in self.scenes]

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the classification."""
        return self.labels_of.get("classification", ())

    @property
    def tasks(self) -> dict[str, tuple[str, ...]]:
        """The labels of the other tasks."""
        return {kind: names for kind, names in self.labels_of.items() if kind != "classification"}

    def of_tasks(self, kinds: Collection[str]) -> "Scenes":
        """Only what is known of some tasks, and only the photographs of which anything is.

        Raises:
            ConfigError: a task that no set annotates.
        """
        if unknown := sorted(set(kinds) - set(self.labels_of)):
            have = ", ".join(self.labels_of)
            raise ConfigError(f"--task {','.join(unknown)}: the photographs tell {have}")
        kept = [_only(scene, kinds) for scene in self.scenes]
        known = [s for s in kept if s.label >= 0 or s.boxes is not None or s.mask is not None]
        labels = {kind: names for kind, names in self.labels_of.items() if kind in kinds}
        return Scenes(tuple(known), labels)

    def unlabelled(self, labels_of: dict[TaskKind, tuple[str, ...]]) -> "Scenes":
        """The photographs alone, for a network that brings its own classes."""
        return Scenes(tuple(_only(scene, ()) for scene in self.scenes), labels_of)

    def batches(self, batch: int, side: int, seed: int) -> Iterator[Batch]:
        """One epoch: every photograph once, by a crop of its own. The last, smaller batch is left.

        The same seed gives the same epoch.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.scenes))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            yield _stacked([_crop(self.scenes[i], side, rng) for i in rows])


def _only(scene: Scene, kinds: Collection[str]) -> Scene:
    return replace(
        scene,
        label=scene.label if "classification" in kinds else -1,
        boxes=scene.boxes if "detection" in kinds else None,
        mask=scene.mask if "segmentation" in kinds else None,
    )


def merged_labels(sets: Sequence[AnnotatedImages]) -> dict[TaskKind, tuple[str, ...]]:
    """Every task's classes, those of the first set first."""
    found: dict[TaskKind, tuple[str, ...]] = {}
    for images in sets:
        for kind, names in images.labels.items():
            found[kind] = tuple(dict.fromkeys((*found.get(kind, ()), *names)))
    return found


def load_scenes(sets: Sequence[AnnotatedImages], part: str, side: int, max_aspect: float) -> Scenes:
    """Decode one part of every set at the network's size. Unreadable files are skipped.

    Raises:
        SourceError: no photograph could be read, or a set has no such part.
    """
    labels = merged_labels(sets)
    entries = [(images, entry) for images in sets for entry in images.of_part(part)]
    scenes = []
    console = Console(stderr=True)
    for images, entry in track(entries, "reading photographs", console=console, transient=True):
        try:
            scenes.append(read_scene(images, entry, labels, side, max_aspect)[0])
        except SourceError:
            continue
    if not scenes:
        raise SourceError(f"none of {len(entries)} photographs could be read")
    return Scenes(tuple(scenes), labels)


def read_scene(
    images: AnnotatedImages,
    entry: Annotation,
    labels: dict[TaskKind, tuple[str, ...]],
    side: int,
    max_aspect: float,
) -> tuple[Scene, View]:
    """One photograph and what is known of it, in the classes of `labels`. Raises SourceError."""
    picture, view = prepare(images.image(entry.name), side, max_aspect)
    renamed = {kind: _renamed(images.labels.get(kind, ()), names) for kind, names in labels.items()}
    boxes, classes = None, torch.zeros(0, dtype=torch.int64)
    if entry.boxes is not None and not entry.boxes.unseen:
        kept = ~entry.boxes.crowd
        seen = view.to_seen(entry.boxes.corners[kept])
        boxes = torch.from_numpy(seen)
        classes = torch.from_numpy(renamed["detection"][entry.boxes.classes[kept]].astype(np.int64))
    mask = None
    if entry.mask is not None:
        mask = _seen_mask(renamed["segmentation"][images.mask(entry)], view)
    label = -1 if entry.label is None else int(renamed["classification"][entry.label])
    return Scene(picture, label, boxes, classes, mask), view


def _renamed(names: Sequence[str], merged: Sequence[str]) -> NDArray[np.uint8]:
    """256 entries: a set's class -> the merged one; UNKNOWN stays."""
    table = np.full(256, UNKNOWN, np.uint8)
    for index, name in enumerate(names):
        table[index] = merged.index(name)
    return table


def _seen_mask(mask: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """A photograph's mask -> the preprocessed picture's."""
    left, top = view.corner
    box = (left, top, left + view.crop[0], top + view.crop[1])
    whole = Image.fromarray(mask)
    return np.asarray(whole.resize(view.seen, Image.Resampling.NEAREST, box=box))


def _crop(scene: Scene, side: int, rng: np.random.Generator) -> tuple[Tensor, Scene]:
    """A random square, mirrored half the time, colours jittered: pixels, and what it shows."""
    height, width = scene.picture.shape[:2]
    edge = max(8, round(min(height, width, (height * width * rng.uniform(MIN_SCALE, 1)) ** 0.5)))
    edge = min(edge, height, width)
    top, left = rng.integers(0, height - edge + 1), rng.integers(0, width - edge + 1)
    flipped = rng.random() < 0.5
    window = np.s_[top : top + edge, left : left + edge]
    pixels = torch.from_numpy(scene.picture[window]).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(
        pixels, (side, side), mode="bilinear", antialias=edge > side, align_corners=False
    )[0]
    boxes, classes = scene.boxes, scene.classes
    if boxes is not None:
        boxes, classes = _cut(boxes, classes, left, top, edge, side, flipped)
    mask = scene.mask
    if mask is not None:
        small = Image.fromarray(mask[window]).resize((side, side), Image.Resampling.NEAREST)
        mask = np.asarray(small)[:, ::-1] if flipped else np.asarray(small)
    pixels = jittered(pixels.flip(-1) if flipped else pixels, rng)
    return pixels, Scene(scene.picture, scene.label, boxes, classes, mask)


def _cut(
    boxes: Tensor, classes: Tensor, left: int, top: int, edge: int, side: int, flipped: bool
) -> tuple[Tensor, Tensor]:
    """Boxes in the pixels of a crop; those hardly in it are gone."""
    moved = boxes - torch.tensor([left, top, left, top], dtype=torch.float32)
    inside = moved.clamp(0, edge)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept = (inside[:, 2:] - inside[:, :2]).prod(1) > MIN_SEEN * area.clamp_min(1e-6)
    scaled = inside[kept] * (side / edge)
    if flipped:
        scaled[:, [0, 2]] = side - scaled[:, [2, 0]]
    wide = ((scaled[:, 2:] - scaled[:, :2]) >= 2).all(1)
    return scaled[wide], classes[kept][wide]


def _stacked(crops: list[tuple[Tensor, Scene]]) -> Batch:
    pixels = torch.stack([p for p, _ in crops])
    unknown = np.full(pixels.shape[2:], UNKNOWN, np.uint8)
    masks = [unknown if s.mask is None else s.mask for _, s in crops]
    return Batch(
        pixels,
        torch.tensor([s.label for _, s in crops]),
        None,
        None,
        boxes=tuple(
            None if s.boxes is None else {"boxes": s.boxes, "labels": s.classes} for _, s in crops
        ),
        masks=torch.from_numpy(np.stack(masks)),
    )
