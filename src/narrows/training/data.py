"""Photographs in memory, and batches of random crops of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from narrows.errors import SourceError
from narrows.images.labelled import Entry, LabelledImages
from narrows.images.preprocess import resize_and_crop


@dataclass(frozen=True)
class Photographs:
    """Decoded pictures, uint8 (height, width, 3) each, their class indices, the classes."""

    pictures: list[np.ndarray]
    targets: Tensor  # int64 (n,)
    folders: tuple[str, ...]  # class i is the folder folders[i]
    labels: tuple[str, ...]  # what people call it

    def __len__(self) -> int:
        return len(self.pictures)


def load_photographs(
    images: LabelledImages, entries: tuple[Entry, ...], side: int, max_aspect: float
) -> Photographs:
    """Decode `entries` at the network's size. Unreadable files are skipped.

    Raises:
        SourceError: no picture could be read.
    """
    folders = tuple(sorted({entry.folder for entry in entries}))
    index = {folder: i for i, folder in enumerate(folders)}
    pictures, targets = [], []
    for entry in track(entries, "reading photographs", transient=True):
        try:
            pictures.append(resize_and_crop(images.image(entry.name), side, max_aspect))
        except SourceError:
            continue
        targets.append(index[entry.folder])
    if not pictures:
        raise SourceError(f"{images.root}: none of {len(entries)} photographs could be read")
    labels = tuple(images.shown_name(folder) for folder in folders)
    return Photographs(pictures, torch.tensor(targets), folders, labels)


def batches(
    data: Photographs, batch: int, side: int, min_scale: float, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order: pixels float32 (batch, 3, side, side) in 0..255, targets (batch,).

    Crops as in Szegedy et al. 2015 (random area and aspect), mirrored, with jittered brightness,
    contrast and saturation. The last, smaller batch is dropped. The same seed gives the same epoch.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data))
    for start in range(0, len(order) - batch + 1, batch):
        chosen = order[start : start + batch]
        crops = [_random_crop(data.pictures[i], side, min_scale, rng) for i in chosen]
        yield _jitter(torch.stack(crops), rng), data.targets[torch.from_numpy(chosen)]


def _random_crop(
    picture: np.ndarray, side: int, min_scale: float, rng: np.random.Generator
) -> Tensor:
    height, width = picture.shape[:2]
    area = height * width * rng.uniform(min_scale, 1.0)
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    h = int(min(height, round((area / aspect) ** 0.5)))
    w = int(min(width, round((area * aspect) ** 0.5)))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    crop = torch.from_numpy(picture[top : top + h, left : left + w]).permute(2, 0, 1)[None].float()
    crop = F.interpolate(
        crop, (side, side), mode="bilinear", antialias=h > side, align_corners=False
    )
    return crop[0].flip(-1) if rng.random() < 0.5 else crop[0]


def _jitter(pixels: Tensor, rng: np.random.Generator, strength: float = 0.3) -> Tensor:
    """Random brightness, contrast and saturation, one draw per picture."""
    draws = torch.from_numpy(
        rng.uniform(1 - strength, 1 + strength, (3, len(pixels), 1, 1, 1))
    ).float()
    pixels = pixels * draws[0]
    mean = pixels.mean((1, 2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * draws[1]
    grey = pixels.mean(1, keepdim=True)
    return (grey + (pixels - grey) * draws[2]).clamp(0, 255)
