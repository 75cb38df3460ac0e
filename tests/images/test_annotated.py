import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.errors import SourceError
from narrows.images.annotated import AnnotatedImages, is_annotated, photographs
from narrows.images.annotations import UNKNOWN

SHARED = Path(__file__).parents[3] / "shared" / "data"
OURS = {"classification": ["cat", "dog"], "detection": ["pet"], "segmentation": ["rest", "pet"]}
ENTRIES = [
    {"file": "val/a.png", "label": 1, "boxes": [[0, 1, 2, 9, 8]], "mask": "val/a-mask.png"},
    {"file": "val/b.png", "boxes": []},
    {"file": "val/c.png", "label": 0},
]


@pytest.fixture
def own(tmp_path) -> Path:
    (tmp_path / "val").mkdir()
    (tmp_path / "classes.json").write_text(json.dumps(OURS))
    (tmp_path / "val" / "annotations.json").write_text(json.dumps(ENTRIES))
    for entry in ENTRIES:
        Image.new("RGB", (20, 10), "green").save(tmp_path / entry["file"])
    mask = np.zeros((10, 20), np.uint8)
    mask[2:8, 1:9], mask[0] = 1, UNKNOWN
    Image.fromarray(mask).save(tmp_path / "val" / "a-mask.png")
    return tmp_path


def test_our_own_form_says_what_is_known_and_what_is_not(own):
    images = AnnotatedImages(own)
    assert is_annotated(own)
    assert {k: list(v) for k, v in images.labels.items()} == OURS
    a, b, c = images.of_part("val")
    assert (a.label, b.label, c.label) == (1, None, 0)
    assert a.boxes.corners.tolist() == [[1, 2, 9, 8]]
    assert len(b.boxes.corners) == 0  # looked for, none there
    assert c.boxes is None  # nobody looked
    assert images.mask(a)[3, 3] == 1
    assert images.mask(a)[0, 0] == UNKNOWN
    assert images.image(a.name).size == (20, 10)


def test_what_is_no_such_set_is_refused_with_a_reason(own):
    with pytest.raises(SourceError, match="no part 'train'; it has: val"):
        AnnotatedImages(own).of_part("train")
    damages = {
        "classes.json": [(json.dumps(OURS | {"depth": []}), "unknown tasks"), ("[", "known form")],
        "val/annotations.json": [("[]", "no photograph"), ('[{"boxes": 3}]', "known form")],
    }
    for name, faults in damages.items():
        good = (own / name).read_text()
        for text, said in faults:
            (own / name).write_text(text)
            with pytest.raises(SourceError, match=said):
                AnnotatedImages(own)
        (own / name).write_text(good)
    (own / "classes.json").unlink()
    assert not is_annotated(own)
    with pytest.raises(SourceError, match="expected a classes"):
        AnnotatedImages(own)


@pytest.mark.parametrize(
    ("file", "parts", "tasks"),
    [
        ("coco412_multitask.tar", (262, 60), {"detection": 80, "segmentation": 81}),
        (
            "pets600_multitask.tar", (404, 75),
            {"classification": 3, "detection": 2, "segmentation": 2},
        ),
        ("camvid.tar", (367, 101), {"detection": 4, "segmentation": 11}),
    ],
)  # fmt: skip
def test_published_sets_are_read_in_the_form_they_come_in(file, parts, tasks):
    if not (SHARED / file).exists():
        pytest.skip(f"{file} is not beside this clone")
    images = AnnotatedImages(SHARED / file)
    assert {kind: len(names) for kind, names in images.labels.items()} == tasks
    assert (len(images.of_part("train")), len(images.of_part("val"))) == parts
    for annotation in images.of_part("val")[:12]:
        picture = images.image(annotation.name)
        mask = images.mask(annotation)
        assert mask.shape == picture.size[::-1]
        assert set(np.unique(mask)) - {UNKNOWN} <= set(range(tasks["segmentation"]))
        boxes = annotation.boxes
        assert (boxes.corners[:, 2:] > boxes.corners[:, :2]).all()
        assert (boxes.corners.max(0, initial=0) <= np.array(picture.size * 2) + 1).all()
        assert (boxes.classes < tasks["detection"]).all()
        if file.startswith("pets") and 0 not in boxes.unseen:  # the body's box holds its pixels
            x0, y0, x1, y1 = boxes.corners[boxes.classes == 0][0].round().astype(int)
            inside = (mask[y0:y1, x0:x1] == 1).sum()
            assert inside >= 0.99 * (mask == 1).sum()


def test_photographs_of_a_part_whatever_the_set(own, tmp_path):
    images, names = photographs(own, "val")
    assert names == tuple(a.name for a in AnnotatedImages(own).of_part("val"))
    images.image(names[0])
    folder = tmp_path / "plain" / "red"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "one.png")
    _, names = photographs(tmp_path / "plain", "train")  # no parts: all
    assert names == ("red/one.png",)
