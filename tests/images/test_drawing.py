import numpy as np
from PIL import Image

from narrows.images.drawing import colour, draw

GREY = Image.new("RGB", (120, 80), (90, 90, 90))


def changed(drawn: Image.Image) -> np.ndarray:
    return (np.asarray(drawn) != 90).any(2)


def test_nothing_to_draw_changes_nothing_and_the_photograph_stays():
    assert not changed(draw(GREY)).any()
    draw(GREY, "cat", [("cat", 1.0, (5, 5, 60, 60))])
    assert np.asarray(GREY).max() == 90


def test_a_box_is_drawn_where_it_is():
    marked = changed(draw(GREY, boxes=[("cat", 0.9, (40, 30, 100, 70))]))
    assert marked[50, 40]
    assert marked[70, 80]
    assert not marked[50, 70]


def test_a_mask_tints_its_classes_but_background_and_unknown():
    mask = np.zeros((80, 120), np.uint8)
    mask[:, 40:80], mask[:, 80:] = 1, 255
    marked = changed(draw(GREY, mask=mask, names=("background", "sky")))
    assert marked[:, 40:80].all()
    assert not marked[:, :40].any()
    assert not marked[:, 80:].any()
    assert changed(draw(GREY, mask=mask, names=("road", "sky")))[:, :40].all()


def test_boxes_of_no_area_and_beyond_the_picture_do_no_harm():
    strange = [("a", 1.0, (5, 5, 5, 5)), ("b", 1.0, (-40, -40, 400, 400)), ("c", 1.0, (9, 9, 1, 1))]
    assert draw(Image.new("L", (1, 1)), "label", strange).size == (1, 1)
    assert draw(GREY, "label", strange).size == GREY.size


def test_neighbouring_classes_look_apart():
    tints = np.array([colour(i) for i in range(12)], float)
    apart = np.abs(tints[:, None] - tints[None]).sum(2) + 1000 * np.eye(12)
    assert apart.min() > 40
