"""Which photographs the demonstration sends: yours, Imagenette's, or those inside two libraries."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from narrows.errors import SourceError
from narrows.images.labelled import Entry, LabelledImages
from narrows.simulations.evaluation import evenly

log = logging.getLogger(__name__)

# Photographs inside scikit-image's and scikit-learn's wheels: no network needed, no labels.
SKIMAGE_PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "motorcycle",
    "page",
    "retina",
    "rocket",
    "text",
)


CROPS = 64


@dataclass(frozen=True)
class Choice:
    """A folder of class folders that holds exactly the photographs to send."""

    folder: Path
    described: str
    labelled: bool

    def entries(self) -> tuple[LabelledImages, Sequence[Entry]]:
        images = LabelledImages(self.folder)
        return images, images.entries


def choose(data: Path | None, frames: int, scratch: Path) -> Choice:
    """`data` if given, else Imagenette by torchvision where a network is, else the libraries' own.

    Raises:
        SourceError: `data` holds no class folders with photographs.
    """
    if data is not None:
        return _sampled(data, None, frames, scratch, f"{frames} photographs of {data.name}")
    downloaded = _imagenette(scratch)
    if downloaded is not None:
        return _sampled(downloaded, None, frames, scratch, "Imagenette's val part, by torchvision")
    return _libraries_alone(scratch)


def _sampled(data: Path, part: str | None, frames: int, scratch: Path, described: str) -> Choice:
    """Copy an even sample of a set, so that every device reads a plain folder of its own share."""
    images = LabelledImages(data)
    folder = scratch / "photographs"
    copy_entries(images, evenly(images.of_part(part), frames), folder)
    return Choice(folder, described, labelled=True)


def copy_entries(images: LabelledImages, entries: Sequence[Entry], folder: Path) -> list[Path]:
    """Write photographs as class folders, for devices that read plain files; their paths."""
    paths = []
    for index, entry in enumerate(entries):
        path = folder / entry.folder / f"{index:05d}{Path(entry.name).suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.read(entry.name))
        paths.append(path)
    return paths


def _imagenette(scratch: Path) -> Path | None:
    """torchvision's copy, downloaded once; None where no network is in reach."""
    from torchvision.datasets import Imagenette

    root = Path.home() / ".cache" / "narrows"
    try:
        root.mkdir(parents=True, exist_ok=True)
        Imagenette(
            root, split="val", size="320px", download=not (root / "imagenette2-320").exists()
        )
    except Exception as error:  # torchvision raises whatever urllib, tarfile or the disk does
        log.warning("Imagenette is out of reach (%s): using the libraries' photographs", error)
        return None
    return root / "imagenette2-320" / "val"


def _libraries_alone(scratch: Path) -> Choice:
    folder = scratch / "photographs" / "unlabelled"
    folder.mkdir(parents=True, exist_ok=True)
    found = from_libraries()
    for name, picture in found:
        picture.convert("RGB").save(folder / f"{name}.png")
    described = f"{len(found)} photographs inside scikit-image and scikit-learn"
    return Choice(folder.parent, described, labelled=False)


def from_libraries() -> list[tuple[str, Image.Image]]:
    """Names and photographs that libraries bring along. Raises SourceError where there is none."""
    found = [*_scikit_learn(), *_scikit_image()]
    if not found:
        raise SourceError("no photographs: give --data, or install scikit-image and scikit-learn")
    return found


def write_crops(folder: Path) -> None:
    """Parts of the photographs that libraries bring along, as cameras would see them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, found = np.random.default_rng(0), from_libraries()
    for number in range(CROPS):
        name, photograph = found[number % len(found)]
        shorter = min(photograph.size)
        side = int(rng.integers(shorter // 2, shorter + 1))
        left, top = (int(rng.integers(0, extent - side + 1)) for extent in photograph.size)
        part = photograph.crop((left, top, left + side, top + side))
        part.convert("RGB").save(folder / f"{name}-{number:02d}.jpg", quality=95)


def _scikit_learn() -> list[tuple[str, Image.Image]]:
    try:
        from sklearn.datasets import load_sample_images
    except ImportError:
        return []
    sample = load_sample_images()
    return [
        (Path(n).stem, Image.fromarray(i))
        for n, i in zip(sample.filenames, sample.images, strict=True)
    ]


def _scikit_image() -> list[tuple[str, Image.Image]]:
    try:
        import skimage
    except ImportError:
        return []
    folder = Path(skimage.__file__).parent / "data"  # what the wheel holds, without a download
    found = [p for name in SKIMAGE_PHOTOGRAPHS for p in sorted(folder.glob(f"{name}.*"))]
    return [(p.stem, Image.open(p)) for p in found if p.suffix in {".png", ".jpg", ".jpeg", ".tif"}]
