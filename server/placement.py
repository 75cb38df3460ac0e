"""Bundles where replicas are: a node without such a folder gets the files once."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from narrows.codec.manifest import MANIFEST, SIGNATURE, Manifest
from narrows.errors import BundleError


@dataclass(frozen=True)
class PlacedBundle:
    """A version of a bundle, and where its files can be had."""

    folder: Path  # where `narrows serve` found it
    digest: str
    files: Any = None  # Ray's reference to {name: bytes}; None where all nodes are this machine


def place(folders: Sequence[Path], far: bool) -> tuple[PlacedBundle, ...]:
    """The bundles as they are now; `far`: replicas may run on nodes without these folders.

    Raises:
        BundleError: a folder that holds no bundle.
    """
    return tuple(_placed(folder, Manifest.load(folder), far) for folder in folders)


def at_hand(bundle: PlacedBundle, cache: Path) -> Path:
    """A folder of this node with that version, whole: its own if it has one, else `cache`/digest.

    However many replicas of a node ask at once, one of them writes. Raises BundleError.
    """
    if bundle.files is None or _has(bundle.folder, bundle.digest):
        return bundle.folder
    target = cache / bundle.digest
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{bundle.digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _has(target, bundle.digest):
            _write(ray.get(bundle.files), target)
    return target


def _placed(folder: Path, manifest: Manifest, far: bool) -> PlacedBundle:
    if not far:
        return PlacedBundle(folder, manifest.digest)
    names = [n for n in (MANIFEST, SIGNATURE, *manifest.files) if (folder / n).is_file()]
    files = {name: (folder / name).read_bytes() for name in names}
    return PlacedBundle(folder, manifest.digest, ray.put(files))


def _has(folder: Path, digest: str) -> bool:
    try:
        manifest = Manifest.load(folder)
        manifest.verify_files(folder)
    except BundleError:
        return False
    return manifest.digest == digest


def _write(files: dict[str, bytes], target: Path) -> None:
    """All or nothing: the folder gets its name last."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        arriving = Path(scratch) / "bundle"
        arriving.mkdir()
        for name, data in files.items():
            (arriving / name).write_bytes(data)
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        os.replace(arriving, target)
