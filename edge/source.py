"""Where frames come from: a picture, folder, tar of class folders, video, camera, list on stdin.

`open_source` checks what was named at once and returns an iterator that reads one picture at a
time. One picture asked for by name must be readable; in a set an unreadable one is handed to
`on_skip` and the run goes on.
"""

import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from narrows.errors import SourceError
from narrows.images.files import MAX_FILE_BYTES, decode, pictures_in
from narrows.images.labelled import LabelledImages

STREAMS = ("rtsp", "rtsps", "http", "https")
LIVE = ("camera", "v4l2", "gstreamer", "picamera2", *STREAMS)  # edge/camera.py
VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg"}


@dataclass(frozen=True)
class SourceFrame:
    """One picture on its way into the device."""

    name: str
    image: Image.Image
    label: str | None = None  # the class as people read it, where the source knows it
    folder: str | None = None  # the class folder's name


OnSkip = Callable[[SourceError], None]


def open_source(
    spec: str,
    *,
    labels: bool = False,
    part: str | None = None,
    on_skip: OnSkip = lambda error: None,
    on_drop: Callable[[], None] = lambda: None,
    stdin: Iterable[str] | None = None,
) -> Iterator[SourceFrame]:
    """Frames of a picture, video, folder or tar at `spec`, or of the paths on stdin if it is `-`.

    A camera's name (`is_live`) gives a `Camera`; `on_drop` hears of frames that it had to drop.

    `labels` reads a folder as class folders; a tar always is one. `part` picks a part of such a
    set (its `val` or `test` where there is one, if None).

    Raises:
        SourceError: there is no such thing, it holds no picture, or (while reading) the one
            picture asked for is not readable.
    """
    if spec == "-":
        return _listed(stdin or sys.stdin, on_skip)
    if is_live(spec):
        from narrows.edge.camera import open_camera

        return open_camera(spec, on_drop)
    path = Path(spec)
    if not path.exists():
        raise SourceError(f"{spec}: expected a picture, folder, tar or video, found nothing")
    if path.is_dir() and not labels and part is None:
        return _folder(path, on_skip)
    if path.is_dir() or _is_tar(path):
        return _labelled(LabelledImages(path), part, on_skip)
    if is_video(spec):
        return _video(path)
    return iter([_picture(path)])


def is_video(spec: str) -> bool:
    """Whether a source's frames follow each other in time."""
    return is_live(spec) or Path(spec).suffix.lower() in VIDEO_SUFFIXES


def is_live(spec: str) -> bool:
    """Whether a source is a camera or a stream, by its name."""
    kind, colon, _ = spec.partition(":")
    return spec == "picamera2" or (bool(colon) and kind in LIVE)


def _is_tar(path: Path) -> bool:
    return path.is_file() and tarfile.is_tarfile(path)


def _picture(path: Path, name: str | None = None) -> SourceFrame:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SourceError(f"{path}: over {MAX_FILE_BYTES} bytes: not a photograph")
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    return SourceFrame(name or str(path), decode(data, str(path)))


def _folder(root: Path, on_skip: OnSkip) -> Iterator[SourceFrame]:
    return _each(((p, p.relative_to(root).as_posix()) for p in pictures_in(root)), on_skip)


def _listed(lines: Iterable[str], on_skip: OnSkip) -> Iterator[SourceFrame]:
    stripped = (line.strip() for line in lines)
    return _each(((Path(line), line) for line in stripped if line), on_skip)


def _each(files: Iterable[tuple[Path, str]], on_skip: OnSkip) -> Iterator[SourceFrame]:
    for path, name in files:
        try:
            yield _picture(path, name)
        except SourceError as error:
            on_skip(error)


def _labelled(images: LabelledImages, part: str | None, on_skip: OnSkip) -> Iterator[SourceFrame]:
    entries = images.of_part(part)

    def frames() -> Iterator[SourceFrame]:
        for entry in entries:
            try:
                picture = images.image(entry.name)
            except SourceError as error:
                on_skip(error)
                continue
            yield SourceFrame(entry.name, picture, images.shown_name(entry.folder), entry.folder)

    return frames()


def _video(path: Path) -> Iterator[SourceFrame]:
    try:
        import cv2
    except ImportError:
        raise SourceError(f"{path}: videos need OpenCV: pip install 'narrows[edge]'") from None
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise SourceError(f"{path}: not a video OpenCV can read")

    def frames() -> Iterator[SourceFrame]:
        index = 0
        while (read := capture.read())[0]:
            rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
            yield SourceFrame(f"{path}#{index}", Image.fromarray(rgb))
            index += 1
        capture.release()

    return frames()
