"""Risk control: no more is lost than allowed, on the calibration set and in expectation beyond."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.policy.risk import NEVER, Calibration, in_expectation, with_confidence
from narrows.errors import ConfigError

SETS = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.2, 0.4, 0.5, 0.7, 0.9, 0.99]), st.booleans()),
    min_size=1,
    max_size=80,
)
ALPHAS = st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3])


def calibration_of(rows):
    sure, lost = zip(*rows, strict=True)
    return Calibration(np.array(sure, np.float32), np.array(lost))


@given(rows=SETS, alpha=ALPHAS)
def test_the_threshold_is_the_lowest_that_the_bound_allows(rows, alpha):
    calibration, n = calibration_of(rows), len(rows)
    threshold = in_expectation(calibration, alpha)

    def bound(at):
        return (calibration.kept_and_lost(at)[1] * n + 1) / (n + 1)

    if threshold < NEVER:
        assert bound(threshold) <= alpha + 1e-9
    lower = [s for s in set(calibration.confidence.tolist()) if 0 <= s < threshold]
    assert all(bound(at) > alpha - 1e-9 for at in lower)


@given(rows=SETS, alpha=ALPHAS)
def test_the_unfamiliar_is_never_kept(rows, alpha):
    calibration = calibration_of(rows)
    for threshold in (in_expectation(calibration, alpha), with_confidence(calibration, alpha, 0.1)):
        assert not ((calibration.confidence >= threshold) & (calibration.confidence < 0)).any()


@given(rows=SETS, alpha=ALPHAS, delta=st.sampled_from([0.01, 0.1, 0.4]))
def test_with_confidence_counts_the_binomial_tail_exactly(rows, alpha, delta):
    calibration, n = calibration_of(rows), len(rows)
    threshold = with_confidence(calibration, alpha, delta)
    if threshold == NEVER:
        return
    losses = round(calibration.kept_and_lost(threshold)[1] * n)
    tail = sum(math.comb(n, k) * alpha**k * (1 - alpha) ** (n - k) for k in range(losses + 1))
    assert tail <= delta + 1e-9


def draws(rng, n):
    """Frames whose answer is the more often lost the less sure it is."""
    sure = rng.random(n).astype(np.float32)
    return Calibration(sure, rng.random(n) < 0.3 * (1 - sure))


def test_what_is_lost_in_expectation_is_at_most_alpha():
    rng, lost = np.random.default_rng(0), []
    truth = draws(rng, 200_000)
    for _ in range(400):
        lost.append(truth.kept_and_lost(in_expectation(draws(rng, 200), 0.05))[1])
    assert np.mean(lost) <= 0.05 + 3 * 0.015 / math.sqrt(400)  # its own standard error
    assert np.mean(lost) > 0.03  # and not by keeping next to nothing


def test_with_confidence_few_calibrations_lose_more_than_alpha():
    rng, truth = np.random.default_rng(1), draws(np.random.default_rng(2), 200_000)
    lost = [truth.kept_and_lost(with_confidence(draws(rng, 300), 0.05, 0.1))[1] for _ in range(400)]
    assert np.mean(np.array(lost) > 0.05) <= 0.1 + 3 * math.sqrt(0.09 / 400)


def test_too_few_photographs_keep_nothing():
    assert in_expectation(calibration_of([(0.9, False)] * 20), 0.02) == NEVER


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_a_share_outside_0_and_1_is_refused(alpha):
    with pytest.raises(ConfigError, match="share"):
        in_expectation(calibration_of([(0.9, False)]), alpha)
