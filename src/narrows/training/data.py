"""Photographs in memory, and random crops of them."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
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
    tasks: dict[str, tuple[str, ...]] = field(default_factory=dict)  # labels of other tasks: none

    def __len__(self) -> int:
        return len(self.pictures)


def load_photographs(
    images: LabelledImages,
    entries: tuple[Entry, ...],
    side: int,
    max_aspect: float,
    order: tuple[str, ...] = (),
) -> Photographs:
    """Decode `entries` at the network's size. Unreadable files are skipped.

    `order`: the class folders as a trained network numbers them; by name where these are others.

    Raises:
        SourceError: no picture could be read.
    """
    folders = tuple(sorted({entry.folder for entry in entries}))
    if set(folders) == set(order):
        folders = order
    index = {folder: i for i, folder in enumerate(folders)}
    pictures, targets = [], []
    console = Console(stderr=True)
    for entry in track(entries, "reading photographs", console=console, transient=True):
        try:
            pictures.append(resize_and_crop(images.image(entry.name), side, max_aspect))
        except SourceError:
            continue
        targets.append(index[entry.folder])
    if not pictures:
        raise SourceError(f"{images.root}: none of {len(entries)} photographs could be read")
    labels = tuple(images.shown_name(folder) for folder in folders)
    return Photographs(pictures, torch.tensor(targets), folders, labels)


def random_crop(
    picture: np.ndarray, side: int, min_scale: float, rng: np.random.Generator
) -> Tensor:
    """uint8 (height, width, 3) -> float32 (3, side, side) in 0..255.

    A random area and aspect as in Szegedy et al. 2015, mirrored half the time, with jittered
    brightness, contrast and saturation.
    """
    height, width = picture.shape[:2]
    area = height * width * rng.uniform(min_scale, 1.0)
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    h = int(min(height, round((area / aspect) ** 0.5)))
    w = int(min(width, round((area * aspect) ** 0.5)))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    crop = torch.from_numpy(picture[top : top + h, left : left + w]).permute(2, 0, 1)[None].float()
    crop = F.interpolate(
        crop, (side, side), mode="bilinear", antialias=h > side, align_corners=False
    )[0]
    return jittered(crop.flip(-1) if rng.random() < 0.5 else crop, rng)


def jittered(pixels: Tensor, rng: np.random.Generator, strength: float = 0.3) -> Tensor:
    """float32 (3, height, width) in 0..255 with other brightness, contrast and saturation."""
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    pixels = pixels * brightness
    mean = pixels.mean()
    pixels = mean + (pixels - mean) * contrast
    grey = pixels.mean(0, keepdim=True)
    return (grey + (pixels - grey) * saturation).clamp(0, 255)
