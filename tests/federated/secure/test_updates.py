"""Updates as integers: linear, unbiased, bounded; what cannot be sent is refused."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.federated.secure.terms import BLOCK, METRIC_STEPS, UpdateTerms
from narrows.federated.secure.updates import common, mean, quantise

CHANCE = np.random.default_rng(8)


def terms(**changed) -> UpdateTerms:
    usual = UpdateTerms(5000, 5000, 1.0, 127, 1, (), b"s" * 32)
    return msgspec.structs.replace(usual, **changed)


def one(update, agreed, examples=1, metrics=None, clients=10):
    return quantise(update, examples, metrics or {}, agreed, clients, CHANCE)


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(1, 2000),
    kept=st.floats(0.01, 1),
    levels=st.sampled_from([1, 3, 127, 1 << 20]),
    scale=st.sampled_from([0.0, 1e-9, 1.0, 1e9]),
    spike=st.booleans(),
)
def test_a_quantised_update_is_never_longer_than_its_norm(size, kept, levels, scale, spike):
    agreed = terms(size=size, kept=max(1, round(kept * size)), levels=levels, norm=0.3)
    update = np.zeros(size) if spike else CHANCE.normal(size=size)
    update[0] += 1
    integers = one(update * scale, agreed).coordinates
    assert abs(integers).max() <= levels
    assert np.linalg.norm(integers * agreed.step) <= 0.3 * (1 + 1e-9)


def test_the_mean_of_many_is_the_weighted_mean():
    agreed = terms(largest_weight=20, metrics=("loss",))
    updates = CHANCE.normal(size=(40, 5000)) / 200
    weights = CHANCE.integers(1, 30, 40)
    parts = [
        one(u, agreed, int(w), {"loss": float(w)}, 40)
        for u, w in zip(updates, weights, strict=True)
    ]
    found = mean(sum(p.head for p in parts), sum(p.coordinates for p in parts), agreed)
    counted = np.minimum(weights, 20)
    expected = (counted[:, None] * updates).sum(axis=0) / counted.sum()
    assert found.weight == counted.sum()
    assert abs(found.metrics["loss"] - (counted * weights).sum() / counted.sum()) < 1e-3
    error = np.linalg.norm(found.update - expected) / np.linalg.norm(expected)
    assert error < 0.1  # 40 clients' rounding to 127 levels of 4 root mean squares


def test_rounding_by_chance_has_no_bias():
    agreed = terms(size=256, kept=256, levels=3)
    update = np.full(256, 0.2 / 16)
    parts = [one(update, agreed) for _ in range(1000)]
    found = mean(sum(p.head for p in parts), sum(p.coordinates for p in parts), agreed)
    assert abs(found.update - update).max() < 6 * agreed.step / 2 / 1000**0.5


def test_what_is_not_kept_does_not_move_and_the_subset_is_the_seeds():
    agreed = terms(kept=500)
    part = one(np.full(5000, 1e-3), agreed)
    assert part.coordinates.shape == (512,)  # two blocks
    moved = np.flatnonzero(mean(part.head, part.coordinates, agreed).update)
    sent, _ = common(agreed)
    assert len(set(sent.tolist())) == 500
    assert set(moved.tolist()) == set(sent.tolist())
    other, _ = common(msgspec.structs.replace(agreed, seed=b"t" * 32))
    assert 20 < len(set(other.tolist()) & set(sent.tolist())) < 90  # 50 by chance


def test_the_common_subset_is_pinned():
    sent, signs = common(terms(size=1000, kept=5))
    assert sent.tolist() == [996, 118, 37, 891, 58]
    assert signs.tolist() == [1, -1, -1, -1, 1]


def test_metrics_beyond_their_range_are_held_to_it():
    agreed = terms(metrics=("loss",))
    limit = agreed.metric_limit(10)
    part = one(np.zeros(5000), agreed, metrics={"loss": 1e30})
    assert part.head.tolist() == [1, limit]
    assert 10 * limit < 1 << 31
    assert limit / METRIC_STEPS > 3000


@pytest.mark.parametrize(
    ("update", "examples", "metrics", "message"),
    [
        (np.zeros(7), 1, {"loss": 1.0}, "expected 5000 finite numbers"),
        (np.full(5000, np.nan), 1, {"loss": 1.0}, "expected 5000 finite numbers"),
        (np.zeros(5000), 0, {"loss": 1.0}, "trained on 0 examples"),
        (np.zeros(5000), 1, {}, "no number called loss"),
        (np.zeros(5000), 1, {"loss": float("inf")}, "no number called loss"),
    ],
)
def test_what_cannot_be_sent_is_refused(update, examples, metrics, message):
    with pytest.raises(ConfigError, match=message):
        one(update, terms(metrics=("loss",)), examples, metrics)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"levels": 0}, "levels must be at least 1, not 0"),
        ({"kept": 6000}, "kept = 6000 must be at most"),
        ({"norm": 0.0}, "norm must be above 0"),
        ({"norm": float("inf")}, "norm must be above 0"),
        ({"seed": b"short"}, "seed: expected 32 bytes"),
    ],
)
def test_terms_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        terms(**changed)


def test_sums_that_could_wrap_are_refused():
    assert terms(levels=(1 << 31) // 50 - 1).coordinate_bits(50) == 32
    with pytest.raises(ConfigError, match="needs 33 bits, and masks have 32: take fewer levels"):
        terms(levels=(1 << 31) // 50 + 1).coordinate_bits(50)
    with pytest.raises(ConfigError, match="could sum to more than 2147483647: lower largest"):
        terms(largest_weight=1 << 30).coordinate_bits(2)


def test_blocks_are_filled_up():
    assert [terms(kept=k).coordinates for k in (1, BLOCK, BLOCK + 1)] == [256, 256, 512]
