import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.server.vertical.waiting import KnownParts, Rule, rule

TIMES = {0: 0.3, 1: 0.1, 2: math.inf, 3: 0.2}


@pytest.mark.parametrize(
    ("waiting", "after_s", "here"),
    [
        ("threshold", 0.2, {1, 3}),
        ("all", math.inf, set()),
        ("drop", 0.25, {1, 3}),
        ("asynchronous", 0.1, {1}),
    ],
)
def test_a_round_ends_as_its_rule_says(waiting, after_s, here):
    ended = rule(waiting, parties=4, threshold=2, deadline_s=0.25).end(TIMES)
    assert (ended.after_s, ended.here) == (after_s, here)


def test_a_deadline_is_not_waited_for_when_everybody_is_here():
    ended = Rule(3, until_s=1.0).end({0: 0.1, 1: 0.2, 2: 0.3})
    assert (ended.after_s, ended.here) == (0.3, {0, 1, 2})


def test_who_comes_at_the_same_moment_counts_too():
    assert Rule(1).end({0: 0.1, 1: 0.1, 2: 0.2}).here == {0, 1}


def test_nobody_is_waited_for_where_nobody_is_expected():
    assert Rule(0, until_s=1.0).end({}).after_s == 0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8), st.data())
def test_waiting_for_more_never_ends_sooner(times, data):
    after_s = dict(enumerate(times))
    wanted = data.draw(st.integers(1, len(times)))
    ended, all_ended = Rule(wanted).end(after_s), Rule(len(times)).end(after_s)
    assert ended.after_s <= all_ended.after_s
    assert len(ended.here) >= wanted
    assert ended.here <= all_ended.here


def test_the_last_known_parts_stand_in_and_zero_before_them():
    known = KnownParts(parties=2, segments=2, height=3, width=1)
    one = np.array([[1.0], [2.0]])  # of row 1 in both segments
    np.testing.assert_array_equal(known.total(np.array([1]), {0: one}), one)
    np.testing.assert_array_equal(known.total(np.array([1]), {1: 10 * one}), 11 * one)
    np.testing.assert_array_equal(known.total(np.array([1]), {1: one}), 2 * one)
    np.testing.assert_array_equal(known.total(np.array([0, 2]), {}), np.zeros((4, 1)))
