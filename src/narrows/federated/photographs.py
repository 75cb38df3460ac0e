"""A client's own photographs: a set of its own, or its part of one that is dealt out.

`partition` is `iid`, `folders` (a folder of sets, one a client, in the order of their names) or
`dirichlet:ALPHA`. Every fifth photograph of a client's is kept apart, to measure with and never to
learn from; where a set of its own has parts `train` and `val`, the latter is. Of a set that is
dealt out the part `val` is nobody's.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError, SourceError
from narrows.federated.partition import Rows, dirichlet, iid
from narrows.images.labelled import Entry, LabelledImages
from narrows.images.preprocess import resize_and_crop
from narrows.training.data import Photographs

KEEP_EVERY = 5
FOLDERS, IID, DIRICHLET = "folders", "iid", "dirichlet"


@dataclass(frozen=True)
class Place:
    """Which client of how many, of what."""

    data: Path
    partition: str = ""  # none: all of `data` is this client's
    client: int = 0
    clients: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Own:
    """What a client learns from, and what it measures with."""

    entries: tuple[Entry, ...]
    kept: tuple[Entry, ...]
    images: LabelledImages


def own_photographs(place: Place) -> Own:
    """Which photographs are this client's.

    Raises:
        SourceError: no set there.
        ConfigError: an unknown partition, or more clients than it can be dealt to.
    """
    kind, _, alpha = place.partition.partition(":")
    if kind == FOLDERS:
        return _whole(LabelledImages(_subfolder(place)))
    images = LabelledImages(place.data)
    if not kind:
        return _whole(images)
    if kind not in (IID, DIRICHLET):
        raise ConfigError(
            f"partition {place.partition!r}: expected {IID}, {FOLDERS} or {DIRICHLET}:ALPHA"
        )
    entries = images.of_part("train") if "train" in images.parts() else images.entries
    rows = _dealt(entries, place, alpha)[place.client]
    return _kept_apart(tuple(entries[row] for row in rows), images)


def load(own: Own, entries: tuple[Entry, ...], manifest: Manifest) -> Photographs:
    """Decode them at the bundle's size; classes that it does not know are -1.

    Raises:
        SourceError: none can be read.
    """
    index = {folder: i for i, folder in enumerate(manifest.folders)}
    rule, pictures, targets = manifest.input, [], []
    for entry in entries:
        try:
            image = own.images.image(entry.name)
        except SourceError:
            continue
        pictures.append(resize_and_crop(image, rule.short_side, rule.max_aspect))
        targets.append(index.get(entry.folder, -1))
    if not pictures:
        raise SourceError(f"{own.images.root}: none of {len(entries)} photographs could be read")
    return Photographs(pictures, torch.tensor(targets), manifest.folders, manifest.labels)


def _whole(images: LabelledImages) -> Own:
    parts = images.parts()
    if {"train", "val"} <= parts:
        return Own(images.of_part("train"), images.of_part("val"), images)
    return _kept_apart(images.entries, images)


def _kept_apart(entries: tuple[Entry, ...], images: LabelledImages) -> Own:
    kept = entries[KEEP_EVERY - 1 :: KEEP_EVERY]
    return Own(tuple(entry for entry in entries if entry not in set(kept)), kept, images)


def _dealt(entries: tuple[Entry, ...], place: Place, alpha: str) -> list[Rows]:
    if not alpha:
        return iid(len(entries), place.clients, place.seed)
    try:
        spread = float(alpha)
    except ValueError:
        raise ConfigError(f"partition {place.partition!r}: ALPHA is no number") from None
    folders = [entry.folder for entry in entries]
    return dirichlet(folders, place.clients, spread, place.seed)


def _subfolder(place: Place) -> Path:
    try:
        folders = sorted(path for path in place.data.iterdir() if path.is_dir())
    except OSError as error:
        raise SourceError(f"{place.data}: {error.strerror}: expected a folder of sets") from None
    if place.client >= len(folders):
        raise ConfigError(
            f"{place.data}: {len(folders)} folders of photographs and a client {place.client + 1}: "
            "ask for fewer clients"
        )
    return folders[place.client]
