"""Every instruction set runs a head as torch in floats, and as the reference in integers."""

import threading

import numpy as np
import pytest
from heads import (
    NORMALISE,
    by_torch,
    conv,
    entropic_student,
    patch_head,
    picture,
    weights_of,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from narrows.kernels import coder
from narrows.kernels.head import Head, HeadError, reference
from narrows.models.quantise import quantise_head

ISAS = coder.instruction_sets()
each_isa = pytest.mark.parametrize("isa", ISAS)
pytestmark = pytest.mark.skipif(not ISAS, reason="the native head is not built here")
SIZES = [(224, 224), (64, 88), (41, 57), (17, 9)]


def difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def quantised(make, **sizes):
    layers, tensors = make(**sizes)
    return quantise_head(layers, tensors, [picture(48, 40, seed) for seed in range(3)])


@each_isa
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("make", [patch_head, entropic_student])
def test_floats_are_torchs_within_rounding(isa, make, size):
    layers, tensors = make()
    image = picture(*size)
    latent = Head(layers, tensors, isa).run(image)
    expected = by_torch(layers, tensors, image)
    assert latent.shape == expected.shape
    assert difference(latent, expected) < 1e-5


@each_isa
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("make", [patch_head, entropic_student])
def test_integers_are_the_references_exactly(isa, make, size):
    head = Head(*quantised(make), isa)
    assert head.integer
    image = picture(*size, seed=7)
    assert np.array_equal(head.run(image), reference.run(head.plan, image))


@pytest.mark.parametrize("make", [patch_head, entropic_student])
def test_integers_are_close_to_floats(make):
    layers, tensors = make()
    image = picture(48, 40, seed=1)
    exact = by_torch(layers, tensors, image)
    found = Head(*quantised(make)).run(image)
    assert np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)) < 0.03


@st.composite
def small_heads(draw):
    """Chains of anything, of odd channel counts, with the reference as their judge."""
    shapes, layers = {}, [NORMALISE] if draw(st.booleans()) else []
    channels = 3
    for index in range(draw(st.integers(1, 4))):
        name, outputs = f"c{index}", draw(st.integers(1, 40))
        kernel = draw(st.integers(1, 5))
        layers.append(conv(name, kernel, draw(st.integers(1, 3)), draw(st.integers(0, kernel - 1))))
        shapes[name] = (outputs, channels, kernel)
        channels = outputs
        after = draw(st.sampled_from(["", "relu", "gelu", "residual"]))
        if after == "residual":
            body = [{"op": "relu"}, conv(f"{name}b", 3, 1, 1)]
            layers.append({"op": "residual", "body": body[draw(st.integers(0, 1)) :]})
            shapes[f"{name}b"] = (channels, channels, 3)
        elif after:
            layers.append({"op": after})
    return layers, weights_of(shapes)


@settings(max_examples=60, deadline=None)
@given(small_heads(), st.integers(12, 40), st.integers(12, 40))
def test_any_chain_runs_the_same_everywhere(head, height, width):
    layers, tensors = head
    image = picture(height, width)
    plan = Head(layers, tensors).plan
    for stage in plan.stages:
        height, width = stage.extent(height), stage.extent(width)
    assume(height and width)
    expected = by_torch(layers, tensors, image)
    integers = quantise_head(layers, tensors, [image])
    exact = reference.run(Head(*integers).plan, image)
    gelu = "'gelu'" in str(layers)  # its curve is each machine's own
    for isa in ISAS:
        found = Head(layers, tensors, isa).run(image)
        assert np.abs(found - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1.0)
        if not gelu:
            assert np.array_equal(Head(*integers, isa).run(image), exact)


@each_isa
def test_pictures_of_changing_size_and_threads_at_once(isa):
    head = Head(*quantised(patch_head, width=16, hidden=32, last=5), isa)
    sizes = [(40, 64), (64, 40), (40, 64), (8, 8)] * 3
    expected = [reference.run(head.plan, picture(*size)) for size in sizes]
    wrong = []

    def work():
        wrong.extend(
            size
            for size, latent in zip(sizes, expected, strict=True)
            if not np.array_equal(head.run(picture(*size)), latent)
        )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_view_of_a_larger_picture_is_read_right():
    head = Head(*patch_head(width=16, hidden=16, last=4))
    large = picture(50, 60)
    assert np.array_equal(head.run(large[3:43, 5:45]), head.run(large[3:43, 5:45].copy()))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 4), np.uint8), r"expected uint8 \(height, width, 3\), got uint8"),
        (np.zeros((8, 8, 3), np.float32), "got float32"),
        (np.zeros((7, 8, 3), np.uint8), "7 x 8 is too small"),
    ],
)
def test_pictures_that_do_not_fit_are_named(image, message):
    with pytest.raises(HeadError, match=message):
        Head(*patch_head(width=8, hidden=8, last=2)).run(image)


RELU = {"op": "relu"}
SHAPES = {"a": (4, 3, 3), "b": (4, 4, 3), "c": (5, 4, 3)}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "needs a convolution"),
        ([{"op": "pool"}], "a layer 'pool', expected one of"),
        ([{"op": "conv"}], "a layer lacks 'weights'"),
        ([conv("x", 3)], "no tensor x.weight"),
        ([conv("a", 5)], "a kernel of 5"),
        ([conv("a", 3, pad=3)], "pad 3, stride 1: impossible"),
        ([conv("b", 3)], "b: 4 inputs, 3 come in"),
        ([RELU, conv("a", 3)], "expected a convolution first"),
        ([conv("a", 3), RELU, RELU], "right after another"),
        ([conv("a", 3), NORMALISE], "normalise comes first"),
        ([conv("a", 3), {"op": "residual", "body": [RELU]}], "must end with a convolution"),
        ([conv("a", 3), {"op": "residual", "body": [conv("c", 3)]}], "c: 5 channels"),
        ([{"op": "gdn1", "weights": "a"}], "gdn1 divides the value of a convolution"),
    ],
)
def test_layers_that_none_can_follow_are_named(layers, message):
    with pytest.raises(HeadError, match=message):
        Head(layers, weights_of(SHAPES))


def test_a_residual_of_another_size_is_named():
    layers = [conv("a", 3), {"op": "residual", "body": [conv("b", 3)]}]
    head = Head(layers, weights_of(SHAPES))
    with pytest.raises(ValueError, match="different sizes"):
        head.run(picture(12, 12))
