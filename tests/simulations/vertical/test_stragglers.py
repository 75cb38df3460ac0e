import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.server.vertical.waiting import rule
from narrows.sharing.schedule import Schedule
from narrows.simulations.vertical.stragglers import (
    KINDS,
    Clock,
    Stragglers,
    in_the_clear,
    on_shares,
)

SCHEDULE = Schedule(60, 12, 3, 4, 3, 0)
N, S, R = 10, 2, 7
RESULTS = Clock(0.01, None)


def those(kind, seed=0, count=S, mean_s=0.1):
    return Stragglers(kind, N, count, mean_s, len(SCHEDULE), seed)


def waits(waiting):
    return rule(waiting, N, R, 0.05)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 99))
def test_no_way_of_waiting_is_slower_than_for_all(kind, seed):
    stragglers = those(kind, seed)
    last = {
        waiting: in_the_clear(SCHEDULE, waits(waiting), stragglers, RESULTS)[-1].ends_s
        for waiting in ("all", "drop", "asynchronous", "threshold")
    }
    assert last["asynchronous"] <= last["threshold"] <= last["all"]
    assert last["drop"] <= last["all"]
    ours = on_shares(SCHEDULE, waits("threshold"), stragglers, RESULTS)
    everybody = on_shares(SCHEDULE, waits("all"), stragglers, RESULTS)
    assert all(a.ends_s <= b.ends_s for a, b in zip(ours, everybody, strict=True))


@given(st.sampled_from(["some", "slow"]), st.integers(0, 99))
def test_up_to_s_stragglers_cost_the_threshold_no_time(kind, seed):
    late = on_shares(SCHEDULE, waits("threshold"), those(kind, seed), RESULTS)
    free = on_shares(SCHEDULE, waits("threshold"), those("none"), RESULTS)
    assert [r.ends_s for r in late] == [r.ends_s for r in free]
    assert all(len(r.here) >= R for r in late)


def test_two_questions_a_round_take_twice_the_time_of_one():
    shares = on_shares(SCHEDULE, waits("threshold"), those("none"), RESULTS)
    plain = in_the_clear(SCHEDULE, waits("all"), those("none"), RESULTS)
    assert shares[-1].ends_s == pytest.approx(2 * plain[-1].ends_s)


def test_held_out_passes_are_not_on_the_clock():
    ends = in_the_clear(SCHEDULE, waits("all"), those("none"), RESULTS)
    training = sum(SCHEDULE.step(i).training for i in range(len(SCHEDULE)))
    assert ends[-1].ends_s == pytest.approx(0.01 * training)


def test_every_round_that_ends_has_somebody_in_it():
    for seed in range(20):
        rounds = in_the_clear(SCHEDULE, waits("all"), those("dying", seed), RESULTS)
        assert all(r.here for r in rounds if r.ends_s < math.inf)


def test_the_dead_end_the_training_of_those_who_wait_for_all():
    dying = those("dying")
    assert in_the_clear(SCHEDULE, waits("all"), dying, RESULTS)[-1].ends_s == math.inf
    ours = on_shares(SCHEDULE, waits("threshold"), dying, RESULTS)
    assert ours[-1].ends_s < math.inf
    assert ours[0].shared == frozenset(range(N))
    assert ours[-1].shared == frozenset(range(N)) - set(dying.who)
    more = those("dying", count=N - R + 1)
    assert on_shares(SCHEDULE, waits("threshold"), more, RESULTS)[-1].ends_s == math.inf


def test_late_shares_of_weights_are_waited_for_once_and_not_again():
    slow = those("slow", mean_s=1.0)
    clock = Clock(0.01, 0.05)
    ours = on_shares(SCHEDULE, waits("threshold"), slow, clock)
    assert ours[0].ends_s == pytest.approx(0.06 + 0.01)
    assert ours[1].ends_s - ours[0].ends_s == pytest.approx(0.02)
    assert not ours[-1].shared & set(slow.who)


def test_if_nobody_is_here_at_the_deadline_the_first_to_come_ends_the_round():
    everyone = those("everyone", mean_s=100.0)
    ends = in_the_clear(SCHEDULE, waits("drop"), everyone, RESULTS)
    assert all(r.here for r in ends)
    assert ends[0].ends_s > 0.05


@given(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 11))
def test_the_seed_decides_who_is_late_and_how_much(kind, seed, step):
    one, other = those(kind, seed), those(kind, seed)
    np.testing.assert_array_equal(one.delays_s(step, 1), other.delays_s(step, 1))
    assert (one.delays_s(step, 1) >= 0).all()
    prompt = [n for n in range(N) if n not in one.who]
    assert not one.delays_s(step, 1)[prompt].any()


def test_an_unknown_way_to_straggle_is_refused():
    with pytest.raises(ConfigError, match="expected one of none, some"):
        those("often")
