import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the server extra")

from narrows.images.annotations import UNKNOWN, Boxes
from narrows.models.tasks.metrics import MeanAP, MeanIoU, Top1


def test_top_1_counts_right_answers():
    score = Top1()
    for label in (0, 1, 1, 1):
        score.add(1, label)
    assert score.score() == 0.75


def test_iou_of_half_a_class_found():
    true = np.zeros((4, 4), np.uint8)
    true[:, 2:] = 1
    found = true.copy()
    found[:2, 2:] = 0
    score = MeanIoU(3)
    score.add(found, true)
    assert score.by_class()[:2] == pytest.approx([8 / 12, 4 / 8])
    assert score.score() == pytest.approx((8 / 12 + 4 / 8) / 2)  # class 2 occurs nowhere


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_iou_is_one_for_the_truth_and_unknown_pixels_count_for_nothing(seed):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, (9, 7)).astype(np.uint8)
    true[rng.random(true.shape) < 0.2] = UNKNOWN
    found = np.where(true == UNKNOWN, 3, true).astype(np.uint8)
    score = MeanIoU(5)
    score.add(found, true)
    assert score.score() == 1.0
    unseen = MeanIoU(5)
    unseen.add(np.full_like(true, UNKNOWN), true)
    assert unseen.score() == 0.0


def boxes(rows: list[list[float]], unseen: frozenset[int] = frozenset()) -> Boxes:
    return Boxes.of(rows, unseen)


@pytest.mark.parametrize(
    ("rows", "scores", "classes", "ap50"),
    [
        ([[10, 10, 50, 50]], [0.9], [0], 1.0),
        ([[10, 10, 50, 50]], [0.9], [1], 0.0),  # another class
        ([[30, 30, 90, 90]], [0.9], [0], 0.0),  # another place
        ([[80, 80, 99, 99], [10, 10, 50, 50]], [0.9, 0.5], [0, 0], 0.5),  # a wrong one first
        ([], [], [], 0.0),
    ],
)
def test_average_precision_of_one_box(rows, scores, classes, ap50):
    score = MeanAP(2)
    found = np.array(rows, np.float32).reshape(-1, 4)
    score.add(found, scores, classes, boxes([[0, 10, 10, 50, 50]]))
    assert score.summary()["AP50"] == pytest.approx(ap50, abs=1e-6)


def test_thresholds_rise_to_95_and_unseen_classes_are_left_out():
    score = MeanAP(2)
    near = np.array([[10, 10, 50, 38]], np.float32)  # IoU 0.7
    score.add(near, [0.9], [0], boxes([[0, 10, 10, 50, 50]]))
    assert score.score() == pytest.approx(0.5)  # 0.5, 0.55, 0.6, 0.65, 0.7 of ten
    strict = MeanAP(2)
    both = np.array([[10, 10, 50, 50], [0, 0, 5, 5]], np.float32)
    strict.add(both, [0.5, 0.9], [0, 1], boxes([[0, 10, 10, 50, 50]], frozenset({1})))
    assert strict.score() == pytest.approx(1.0)
