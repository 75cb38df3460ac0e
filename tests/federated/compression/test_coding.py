"""Integers to bytes and back: exactly, in few bytes, and no damage that is not named."""

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower has no release for this Python")

from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import PacketError
from narrows.federated.compression.coding import Reader, decode_parts, encode_parts

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)


@st.composite
def parts(draw):
    """Integers of all magnitudes, mostly small or with zeros at their low end, in groups."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(1, 60))
        any_of = draw(
            st.sampled_from([st.just(0), st.integers(-1, 1), st.integers(-400, 400), INT32])
        )
        shift = draw(st.integers(0, 10))
        values = draw(st.lists(any_of, min_size=size, max_size=size))
        integers = np.array(values, np.int64).clip(-(2**20), 2**20) << shift
        if draw(st.booleans()):
            integers = np.array(values, np.int64)
        labels = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
        found.append((integers.astype(np.int32), np.array(labels, np.uint8)))
    return found


@settings(max_examples=150, deadline=None)
@given(parts())
def test_integers_come_back(wanted):
    reader = Reader(encode_parts(wanted))
    found = decode_parts(reader, [labels for _, labels in wanted])
    assert all((a == b).all() for a, (b, _) in zip(found, wanted, strict=True))
    assert reader.rest() == b""


@settings(max_examples=300, deadline=None)
@given(parts(), st.data())
def test_damage_is_an_error_or_other_integers_and_nothing_else(wanted, data):
    coded = bytearray(encode_parts(wanted))
    labels = [part for _, part in wanted]
    if data.draw(st.booleans()):
        coded = coded[: data.draw(st.integers(0, len(coded)))]
    for _ in range(data.draw(st.integers(0, 4))):
        if coded:
            coded[data.draw(st.integers(0, len(coded) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_parts(Reader(bytes(coded)), labels)
    except PacketError:
        return
    assert [f.shape for f in found] == [part.shape for part in labels]


def entropy(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


@pytest.mark.parametrize("density", [0.002, 0.02, 0.3])
def test_sparse_signs_cost_their_entropy(density):
    chance = np.random.default_rng(1)
    signs = chance.choice([-1, 0, 1], 100_000, p=[density / 2, 1 - density, density / 2])
    size = len(encode_parts([(signs.astype(np.int32) * 64, np.zeros(100_000, np.uint8))]))
    assert size < 1.02 * entropy(signs) + 20


def test_groups_make_what_they_tell_apart_cheaper():
    chance = np.random.default_rng(1)
    labels = np.repeat(np.array([0, 1], np.uint8), 20_000)
    signs = chance.choice([-1, 0, 1], 40_000, p=[0.05, 0.9, 0.05]).astype(np.int32) * labels
    together = len(encode_parts([(signs, np.zeros_like(labels))]))
    assert len(encode_parts([(signs, labels)])) < 0.87 * together
