"""Labelled photographs from a folder of class folders, or a tar of one. Nothing is unpacked.

The class of a photograph is the name of the folder it lies in. A set may have parts: a top folder
`train` or `val`, or a `split` column in a `labels.csv` at its root. A `classes.json` at the root
(`[{"wnid": folder, "name": shown}]`) gives the names people read.
"""

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from narrows.errors import SourceError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"}
MAX_FILE_BYTES = 64 << 20  # a photograph, not an archive in disguise


@dataclass(frozen=True)
class Entry:
    """One photograph of a set: its path inside it, its class folder and its part."""

    name: str
    folder: str
    part: str


class LabelledImages:
    """An index over a folder or tar; photographs are read when asked for."""

    def __init__(self, root: Path):
        """Index `root`. Raises SourceError when it is neither, or holds no photograph."""
        self.root = Path(root)
        self._tar: tarfile.TarFile | None = None
        if self.root.is_dir():
            names = sorted(
                p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()
            )
        else:
            names = self._open_tar()
        self._splits = self._read_splits(names)
        self._names = self._read_class_names(names)
        self.entries = tuple(self._entry(n) for n in names if _is_class_member(n))
        if not self.entries:
            raise SourceError(f"{root}: expected class folders with photographs, found none")

    def _open_tar(self) -> list[str]:
        try:
            self._tar = tarfile.open(self.root)  # noqa: SIM115 (kept open for reading by name)
        except (OSError, tarfile.TarError) as error:
            raise SourceError(f"{self.root}: expected a folder or a tar: {error}") from None
        self._members = {m.name.removeprefix("./"): m for m in self._tar if m.isfile()}
        return sorted(self._members)

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

    def read(self, name: str) -> bytes:
        """The bytes of one member. Raises SourceError."""
        try:
            if self._tar is None:
                return (self.root / name).read_bytes()
            member = self._members[name]
            if member.size > MAX_FILE_BYTES:
                raise SourceError(f"{name}: {member.size} bytes, at most {MAX_FILE_BYTES}")
            file = self._tar.extractfile(member)
            return file.read() if file else b""
        except (OSError, KeyError, tarfile.TarError) as error:
            raise SourceError(f"{self.root}: cannot read {name}: {error}") from None

    def image(self, name: str) -> Image.Image:
        """One decoded photograph. Raises SourceError when the file is not a picture."""
        return decode(self.read(name), name)

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


def decode(data: bytes, name: str) -> Image.Image:
    """Bytes of a picture file to a loaded picture. Raises SourceError naming it."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image
    except (
        OSError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
        ValueError,
        SyntaxError,
    ) as error:
        raise SourceError(f"{name}: not a readable picture: {error}") from None
