"""Multi-task sets in our form, and as COCO subsets, Oxford pets and CamVid come."""

import json
from pathlib import PurePosixPath
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from narrows.errors import SourceError
from narrows.images.annotations import UNKNOWN, Annotation, Boxes, Layout, TaskKind
from narrows.images.files import Files


def read_layout(files: Files) -> Layout:
    """What a set knows, whichever form it has. Raises SourceError for none of them."""
    if "classes.json" not in files.names:
        raise SourceError(f"{files.root}: expected a classes.json")
    try:
        classes = json.loads(files.read("classes.json"))
        if isinstance(classes, dict):
            return _own(files, classes)
        names = tuple(str(name) for name in classes)
        if any(name.endswith("boxes_from_masks.json") for name in files.names):
            return _camvid(files, names)
        entries = _listed(files)
        is_pets = bool(entries) and "trimap" in entries[0][1]
        return _pets(files, names) if is_pets else _coco(files, names)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SourceError(f"{files.root}: annotations of no known form: {error!r}") from None


def _own(files: Files, classes: dict[str, Any]) -> Layout:
    """Ours: narrows.images.annotated says how it looks."""
    strange = set(classes) - set(get_args(TaskKind))
    if strange:
        raise SourceError(f"{files.root}: classes.json: unknown tasks {sorted(strange)}")
    found = [
        Annotation(
            entry["file"], part, entry.get("label"),
            Boxes.of(entry["boxes"]) if "boxes" in entry else None, entry.get("mask"),
        )
        for part, entry in _listed(files)
    ]  # fmt: skip
    labels = {kind: tuple(classes[kind]) for kind in get_args(TaskKind) if kind in classes}
    return Layout(labels, tuple(found))


def _coco(files: Files, names: tuple[str, ...]) -> Layout:
    """Boxes of things; in a mask 0 is background and k + 1 is class k."""
    found = [
        Annotation(entry["file"], part, None, Boxes.of(entry["boxes"]), entry.get("mask"))
        for part, entry in _listed(files)
    ]
    return Layout({"detection": names, "segmentation": ("background", *names)}, tuple(found))


def _pets(files: Files, names: tuple[str, ...]) -> Layout:
    """A breed; boxes of bodies and of some heads; pet, background and border by pixel."""
    found = []
    for part, entry in _listed(files):
        boxes = [entry["body_box_from_trimap"], entry["head_box"]]
        rows = [[i, *box] for i, box in enumerate(boxes) if box is not None]
        unseen = frozenset(i for i, box in enumerate(boxes) if box is None)
        found.append(
            Annotation(entry["file"], part, entry["label"], Boxes.of(rows, unseen), entry["trimap"])
        )
    labels: dict[TaskKind, tuple[str, ...]] = {
        "classification": names,
        "detection": ("pet", "head"),
        "segmentation": ("background", "pet"),
    }
    return Layout(labels, tuple(found), _values({1: 1, 2: 0}))


def _camvid(files: Files, names: tuple[str, ...]) -> Layout:
    """Masks of all classes but the last, which is unknown; boxes of four of them."""
    parts = {
        name.rpartition("/")[0]: json.loads(files.read(name))
        for name in files.names
        if name.endswith("boxes_from_masks.json")
    }
    rows_of = [rows for part in parts.values() for rows in part.values()]
    boxed = sorted({int(row[0]) for rows in rows_of for row in rows})
    found = []
    for name in files.names:
        part, _, file = name.partition("/images/")
        if not file:
            continue
        stem = PurePosixPath(file).stem
        rows = [[boxed.index(int(row[0])), *row[1:]] for row in parts[part].get(stem, [])]
        found.append(Annotation(name, part, None, Boxes.of(rows), f"{part}/masks/{stem}.png"))
    labels: dict[TaskKind, tuple[str, ...]] = {
        "detection": tuple(names[i] for i in boxed),
        "segmentation": names[:-1],
    }
    return Layout(labels, tuple(found), _values({i: i for i in range(len(names) - 1)}))


def _values(known: dict[int, int]) -> NDArray[np.uint8]:
    table = np.full(256, UNKNOWN, np.uint8)
    for stored, label in known.items():
        table[stored] = label
    return table


def _listed(files: Files) -> list[tuple[str, dict[str, Any]]]:
    """Every entry of every PART/annotations.json, with its part."""
    return [
        (name.rpartition("/")[0], entry)
        for name in files.names
        if name.endswith("annotations.json")
        for entry in json.loads(files.read(name))
    ]
