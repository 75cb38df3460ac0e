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


def left_out(calibration, alpha):
    """How many rows are kept and lost when each in turn is judged by all the others."""
    sure, lost = calibration.confidence, calibration.lost
    count = 0
    for i in np.flatnonzero(lost):
        others = Calibration(np.delete(sure, i), np.delete(lost, i))
        count += bool(sure[i] >= in_expectation(others, alpha))
    return count


def draws(rng, n):
    """Frames whose answer is the more often lost the less sure it is."""
    sure = rng.random(n).astype(np.float32)
    return Calibration(sure, rng.random(n) < 0.3 * (1 - sure))


def lost_beyond(threshold):
    """Of all frames that `draws` could ever draw: the integral of 0.3 (1 - s) above it."""
    return 0.15 * (1 - min(threshold, 1.0)) ** 2


@given(rows=SETS.filter(lambda rows: len(rows) > 1), alpha=ALPHAS)
def test_what_is_lost_in_expectation_is_at_most_alpha(rows, alpha):
    """Exactly, no draw of luck in it: of exchangeable frames each is as likely the new one.

    So the expectation is, over sets of n + 1, the mean of the n + 1 ways to leave one out; it is
    at most alpha for every single set, ties and all.
    """
    assert left_out(calibration_of(rows), alpha) <= alpha * len(rows) + 1e-9


def test_nearly_all_that_may_be_lost_in_expectation_is():
    """Without ties all but at most one frame of what alpha allows: not by keeping nothing."""
    allowed = 0.05 * 400
    assert allowed - 1 <= left_out(draws(np.random.default_rng(0), 400), 0.05) <= allowed


def test_with_confidence_few_calibrations_lose_more_than_alpha():
    rng, runs, delta = np.random.default_rng(1), 400, 0.1
    found = [with_confidence(draws(rng, 300), 0.05, delta) for _ in range(runs)]
    over = np.mean([lost_beyond(threshold) > 0.05 for threshold in found])
    assert over <= delta + 3 * math.sqrt(delta * (1 - delta) / runs)  # its own standard error


def test_too_few_photographs_keep_nothing():
    assert in_expectation(calibration_of([(0.9, False)] * 20), 0.02) == NEVER


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_a_share_outside_0_and_1_is_refused(alpha):
    with pytest.raises(ConfigError, match="share"):
        in_expectation(calibration_of([(0.9, False)]), alpha)


def test_confidence_costs_frames_that_could_have_stayed():
    calibration = draws(np.random.default_rng(2), 1000)
    average, surely = in_expectation(calibration, 0.05), with_confidence(calibration, 0.05, 0.01)
    assert surely > average
    assert 0 < calibration.kept_and_lost(surely)[0] < calibration.kept_and_lost(average)[0]
