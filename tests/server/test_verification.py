"""Which answers say the same, and who is wrong where they do not."""

import asyncio
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.verification import KEPT, SpotChecks, Verifier, agree, dissenters

Result = inference_pb2.Result
probabilities = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5)


def labelled(values, indices=None) -> Result:
    indices = range(len(values)) if indices is None else indices
    labels = [{"index": i, "probability": p} for i, p in zip(indices, values, strict=True)]
    return Result(classification={"labels": labels})


def boxed(score=0.9, shift=0.0, index=1) -> Result:
    box = {"x0": 10 + shift, "y0": 10, "x1": 50 + shift, "y1": 50, "index": index, "score": score}
    return Result(detections={"boxes": [box]})


def masked(wrong: int) -> Result:
    pixels = np.zeros((40, 50), np.uint8)
    pixels.reshape(-1)[:wrong] = 3
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return Result(segmentation={"png": file.getvalue()})


@given(probabilities, st.floats(-0.009, 0.009))
def test_rounding_does_not_matter(values, noise):
    one, other = labelled(values), labelled([min(1, max(0, v + noise)) for v in values])
    assert agree(one, other)
    assert agree(other, one)


@given(probabilities, st.data())
def test_another_probability_does(values, data):
    place = data.draw(st.integers(0, len(values) - 1))
    changed = list(values)
    changed[place] = data.draw(st.floats(0, 1).filter(lambda v: abs(v - values[place]) > 0.03))
    assert not agree(labelled(values), labelled(changed))


def test_labels_below_the_last_one_told_may_differ():
    assert agree(labelled([0.8, 0.1], [0, 1]), labelled([0.8, 0.11], [0, 2]))
    assert not agree(labelled([0.6, 0.1], [0, 1]), labelled([0.6, 0.3], [0, 2]))


def test_nonsense_agrees_with_nothing():
    assert not agree(labelled([float("nan")]), labelled([0.5]))
    assert not agree(Result(), labelled([0.5]))
    assert not agree(Result(segmentation={"png": b"no picture"}), masked(0))


def test_boxes_and_masks():
    assert agree(boxed(), boxed(score=0.91, shift=0.5))
    assert agree(boxed(score=0.3), Result(detections={}))  # neither is sure
    for other in (boxed(shift=10), boxed(index=2), boxed(score=0.7), Result(detections={})):
        assert not agree(boxed(), other)
        assert not agree(other, boxed())
    assert agree(masked(0), masked(15))
    assert not agree(masked(0), masked(100))


def test_the_majority_is_right_and_without_one_nobody_is_wrong():
    right, wrong = labelled([0.9, 0.1]), labelled([0.1, 0.9])
    assert dissenters({0: right, 1: right, 2: right}) == set()
    assert dissenters({0: wrong, 1: right, 2: right}) == {0}
    assert dissenters({0: right, 1: wrong, 2: right, 3: wrong, 4: wrong}) == {0, 2}
    assert dissenters({0: right, 1: wrong}) is None
    assert dissenters({0: right, 1: wrong, 2: labelled([0.5, 0.5])}) is None


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_all_are_heard_where_two_disagree(bad):
    right, wrong = labelled([0.9, 0.1]), labelled([0.1, 0.9])
    answers = {i: (wrong if i == bad else right).SerializeToString() for i in range(3)}
    asked, out = [], []

    async def ask(frame, of):
        asked.extend(of)
        return {i: answers[i] for i in of}

    async def quarantine(index, why):
        out.append(index)

    async def scenario():
        verifier = Verifier(2, ask, quarantine)
        for _ in range(20):
            await verifier.check(0, b"", answers[0], range(3))
        return verifier.checked

    assert asyncio.run(scenario()) == 20
    assert set(out) == {bad}
    assert len(asked) == 20 + len(out)


@pytest.mark.parametrize("answer", [None, b"\xff no message"])
def test_who_has_no_answer_has_no_vote_and_who_has_nonsense_is_wrong(answer):
    right = labelled([0.9, 0.1]).SerializeToString()
    out = []

    async def ask(frame, of):
        return {i: answer if i == 2 else right for i in of}

    async def quarantine(index, why):
        out.append(index)

    asyncio.run(Verifier(3, ask, quarantine).check(0, b"", right, range(4)))
    asyncio.run(Verifier(4, ask, quarantine).check(0, b"", right, range(4)))
    assert set(out) <= ({2} if answer else set())
    assert bool(out) == bool(answer)


def test_a_share_of_the_answers_is_kept_and_taken_once():
    every, none = SpotChecks(1.0), SpotChecks(0.0)
    for frame_id in range(100):
        for checks in (every, none):
            checks.consider(inference_pb2.Frame(frame_id=frame_id, image=b"x"), Result())
    kept = [inference_pb2.Frame.FromString(frame).frame_id for frame, _ in every.take()]
    assert kept == list(range(100 - KEPT, 100))
    assert every.take() == none.take() == []
