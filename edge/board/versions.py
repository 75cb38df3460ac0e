"""Versions of a bundle on a board: one is current, the one before it can be had back.

    STORE/versions/DIGEST/   the device's part of a version
    STORE/current            a link to the one that devices are started with
    STORE/previous           a link to the one before, to go back to

A switch is the replacement of a link, so that whenever the power fails there is a current version,
and it is whole.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from narrows.codec.manifest import HEAD_FILES, Manifest
from narrows.errors import BundleError

CURRENT, PREVIOUS, VERSIONS = "current", "previous", "versions"


class Versions:
    """A store of versions."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.cache = folder / VERSIONS  # where versions are fetched to

    @property
    def current(self) -> str | None:
        """The digest of the current version; None in a new store."""
        return self._at(CURRENT)

    @property
    def previous(self) -> str | None:
        """Of the one before; None where there was none."""
        return self._at(PREVIOUS)

    def path(self, digest: str) -> Path:
        """Where that version is."""
        return self.cache / digest

    def switch(self, digest: str) -> None:
        """Make that version current, and what was current the one before.

        Raises:
            BundleError: it is not here, or not whole.
        """
        folder = self.path(digest)
        manifest = Manifest.load(folder)
        manifest.verify_files(folder, tuple(n for n in HEAD_FILES if n in manifest.files))
        was = self.current
        if was is not None and was != digest:
            self._point(PREVIOUS, was)
        self._point(CURRENT, digest)

    def back(self) -> str:
        """Make the one before current again; its digest. Raises BundleError: there is none."""
        digest = self.previous
        if digest is None:
            raise BundleError(f"{self.folder}: there is no version to go back to")
        self._point(CURRENT, digest)
        return digest

    def prune(self) -> None:
        """Versions that are neither current nor the one before are let go."""
        kept = {self.current, self.previous}
        for folder in self.cache.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _at(self, name: str) -> str | None:
        with suppress(OSError):
            return Path(os.readlink(self.folder / name)).name
        return None

    def _point(self, name: str, digest: str) -> None:
        scratch = self.folder / f".{name}.new"
        scratch.unlink(missing_ok=True)
        scratch.symlink_to(Path(VERSIONS) / digest)
        os.replace(scratch, self.folder / name)
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)  # it is on the disk before anything is built on it
        finally:
            os.close(directory)
