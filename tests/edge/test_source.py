"""Sources yield what is readable, in order, and name what is not."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.edge.source import open_source
from narrows.errors import SourceError


def write_picture(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 8), (value, 0, 0)).save(path)
    return path


def write_tar(root: Path, target: Path) -> Path:
    with tarfile.open(target, "w") as tar:
        tar.add(root, ".")
    return target


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """train/ and val/ with two classes; one file of val is no picture."""
    root = tmp_path / "set"
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            write_picture(root / part / name / "1.png")
    (root / "val" / "dog" / "2.jpg").write_bytes(b"not a picture")
    return root


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png")
    frames = list(open_source(str(path)))
    assert [(f.name, f.image.size, f.label) for f in frames] == [(str(path), (12, 8), None)]


def test_an_unreadable_picture_asked_for_by_name_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8 no")
    with pytest.raises(SourceError, match=r"a\.jpg"):
        open_source(str(path))


def test_nothing_there_is_an_error() -> None:
    with pytest.raises(SourceError, match="found nothing"):
        open_source("no/such/thing.jpg")


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="found none"):
        open_source(str(tmp_path))


def test_a_folder_is_read_sorted_and_deep_and_skips_the_unreadable(classes: Path) -> None:
    skipped: list[SourceError] = []
    frames = list(open_source(str(classes), on_skip=skipped.append))
    names = ["train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png"]
    assert [f.name for f in frames] == names
    assert len(skipped) == 1
    assert "2.jpg" in str(skipped[0])


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_class_folders_give_labels_of_one_part(classes: Path, tmp_path: Path, kind: str) -> None:
    spec = classes if kind == "folder" else write_tar(classes, tmp_path / "set.tar")
    skipped: list[SourceError] = []
    frames = list(open_source(str(spec), labels=True, part="val", on_skip=skipped.append))
    assert [(f.name, f.label) for f in frames] == [
        ("val/cat/1.png", "cat"),
        ("val/dog/1.png", "dog"),
    ]
    assert len(skipped) == 1


def test_a_missing_part_is_an_error(classes: Path) -> None:
    with pytest.raises(SourceError, match="no part 'test'"):
        open_source(str(classes), part="test")


def test_paths_come_from_stdin(tmp_path: Path) -> None:
    paths = [write_picture(tmp_path / name) for name in ("b.png", "a.png")]
    skipped: list[SourceError] = []
    lines = io.StringIO(f"{paths[0]}\n\n{tmp_path / 'none.png'}\n{paths[1]}\n")
    frames = list(open_source("-", stdin=lines, on_skip=skipped.append))
    assert [f.name for f in frames] == [str(p) for p in paths]
    assert len(skipped) == 1


def test_a_decompression_bomb_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (400, 400)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(SourceError, match="bomb"):
        open_source(str(path))


def test_a_video_is_read_frame_by_frame(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for value in (0, 100, 200):
        writer.write(np.full((24, 32, 3), (0, 0, value), np.uint8))  # OpenCV's order: blue first
    writer.release()
    frames = list(open_source(str(path)))
    assert [f.name for f in frames] == [f"{path}#{i}" for i in range(3)]
    reds = [np.asarray(f.image)[..., 0].mean() for f in frames]
    assert reds == sorted(reds)
    assert reds[2] > 150


def test_a_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(SourceError, match="not a video"):
        open_source(str(path))
