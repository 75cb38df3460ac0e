import io
import json
import tarfile

import pytest
from PIL import Image

from narrows.errors import SourceError
from narrows.images.labelled import LabelledImages


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(file, "jpeg")
    return file.getvalue()


FILES = {
    "train/n01/a.jpg": picture(),
    "train/n02/b.jpg": picture(),
    "val/n01/c.jpg": picture(),
    "val/n01/broken.jpg": b"no picture",
    "classes.json": json.dumps([{"wnid": "n01", "name": "tench"}]).encode(),
    "notes.txt": b"ignored",
}


def folder(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def tar(root, files):
    with tarfile.open(root / "set.tar", "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return root / "set.tar"


@pytest.mark.parametrize("form", [folder, tar])
def test_a_folder_and_a_tar_read_alike(tmp_path, form):
    images = LabelledImages(form(tmp_path, FILES))
    assert [e.name for e in images.of_part("train")] == ["train/n01/a.jpg", "train/n02/b.jpg"]
    assert {e.folder for e in images.of_part(None)} == {"n01"}  # val, where there is one
    assert images.shown_name("n01") == "tench"
    assert images.shown_name("n02") == "n02"
    assert images.image("val/n01/c.jpg").size == (9, 7)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    images = LabelledImages(folder(tmp_path, FILES))
    with pytest.raises(SourceError, match=r"val/n01/broken\.jpg: not a readable picture"):
        images.image("val/n01/broken.jpg")


def test_a_split_column_makes_parts(tmp_path):
    table = b"file,split\nx/a.jpg,train\nx/b.jpg,val\n"
    files = {"x/a.jpg": picture(), "x/b.jpg": picture(), "labels.csv": table}
    images = LabelledImages(folder(tmp_path, files))
    assert [e.name for e in images.of_part("val")] == ["x/b.jpg"]


def test_a_set_without_photographs_or_part_is_refused(tmp_path):
    with pytest.raises(SourceError, match="found none"):
        LabelledImages(tmp_path)
    with pytest.raises(SourceError, match="expected a folder or a tar"):
        LabelledImages(tmp_path / "absent.tar")
    with pytest.raises(SourceError, match="no part 'test'; it has: train, val"):
        LabelledImages(folder(tmp_path, FILES)).of_part("test")
