"""The files of a folder or a tar, by name. Nothing is unpacked."""

import io
import tarfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from narrows.errors import SourceError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"}
MAX_FILE_BYTES = 64 << 20  # a photograph, not an archive in disguise


class Files:
    """An index over a folder or tar; files are read when asked for."""

    def __init__(self, root: Path):
        """Index `root`. Raises SourceError when it is neither."""
        self.root = Path(root)
        self._tar: tarfile.TarFile | None = None
        if self.root.is_dir():
            self.names = sorted(
                p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()
            )
        else:
            self.names = self._open_tar()

    def _open_tar(self) -> list[str]:
        try:
            self._tar = tarfile.open(self.root)  # noqa: SIM115 (kept open for reading by name)
        except (OSError, tarfile.TarError) as error:
            raise SourceError(f"{self.root}: expected a folder or a tar: {error}") from None
        self._members = {m.name.removeprefix("./"): m for m in self._tar if m.isfile()}
        return sorted(self._members)

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


def pictures_in(folder: Path) -> list[Path]:
    """Picture files below `folder`, by name. Raises SourceError: there is none."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise SourceError(f"{folder}: expected pictures ({kinds}), found none")
    return found
