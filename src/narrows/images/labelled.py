"""Labelled photographs from a folder of class folders, or a tar of one. Nothing is unpacked.

The class of a photograph is the name of the folder it lies in. A set may have parts: a top folder
`train` or `val`, or a `split` column in a `labels.csv` at its root. A `classes.json` at the root
(`[{"wnid": folder, "name": shown}]`) gives the names people read.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from narrows.errors import SourceError
from narrows.images.files import SUFFIXES, Files


@dataclass(frozen=True)
class Entry:
    """One photograph of a set: its path inside it, its class folder and its part."""

    name: str
    folder: str
    part: str


class LabelledImages(Files):
    """An index over a folder or tar; photographs are read when asked for."""

    def __init__(self, root: Path):
        """Index `root`. Raises SourceError when it is neither, or holds no photograph."""
        super().__init__(root)
        names = self.names
        self._splits = self._read_splits(names)
        self._names = self._read_class_names(names)
        self.entries = tuple(self._entry(n) for n in names if _is_class_member(n))
        if not self.entries:
            raise SourceError(f"{root}: expected class folders with photographs, found none")

    def _read_splits(self, names: list[str]) -> dict[str, str]:
        if "labels.csv" not in names:
            return {}
        rows = list(csv.DictReader(io.StringIO(self.read("labels.csv").decode())))
        return {row["file"]: row["split"] for row in rows if "split" in row and "file" in row}

    def _read_class_names(self, names: list[str]) -> dict[str, str]:
        if "classes.json" not in names:
            return {}
        classes = json.loads(self.read("classes.json"))
        return {c["wnid"]: c["name"] for c in classes if "wnid" in c and "name" in c}

    def _entry(self, name: str) -> Entry:
        parts = PurePosixPath(name).parts
        return Entry(name, parts[-2], self._splits.get(name, parts[0] if len(parts) > 2 else ""))

    def parts(self) -> set[str]:
        return {entry.part for entry in self.entries}

    def of_part(self, part: str | None) -> tuple[Entry, ...]:
        """The entries of one part; None chooses `val` or `test` where there is one, else all.

        Raises:
            SourceError: no entry has that part.
        """
        if part is None:
            part = next((p for p in ("val", "test") if p in self.parts()), None)
            if part is None:
                return self.entries
        chosen = tuple(entry for entry in self.entries if entry.part == part)
        if not chosen:
            have = ", ".join(sorted(self.parts())) or "none"
            raise SourceError(f"{self.root}: no part {part!r}; it has: {have}")
        return chosen

    def shown_name(self, folder: str) -> str:
        """What people call the class of `folder`."""
        return self._names.get(folder, folder)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


def _is_class_member(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in SUFFIXES and len(path.parts) >= 2 and not hidden
