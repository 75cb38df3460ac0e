"""How a board steps down and back, by a virtual clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.policy.cooling import FEWEST, LONGEST_S, SETTLE_S, SPELL_S, Cooling
from narrows.simulations.throttling import run

HOT, WARM, COOL = (True, False), (False, False), (False, True)
HEARD = st.lists(
    st.tuples(st.sampled_from((HOT, WARM, COOL)), st.floats(0.1, 5000)), max_size=60
)  # and seconds since the last


def hear(cooling: Cooling, heard, now_s: float = 0.0) -> list[int]:
    """One frame in how many, after each; `heard` has seconds since the last hearing."""
    told = []
    for state, passed_s in heard:
        now_s += passed_s
        cooling.hear(*state, now_s)
        told.append(cooling.one_in)
    return told


def every(state, seconds: float, step_s: float = 5.0):
    return [(state, step_s)] * round(seconds / step_s)


@given(HEARD)
def test_never_below_the_floor_nor_above_what_was_asked(heard):
    told = hear(Cooling(), heard)
    assert set(told) <= {1, 2, 4, 8}
    for (state, _), before, after in zip(heard, [1, *told], told, strict=False):
        assert after in {before, *((min(2 * before, FEWEST),) if state == HOT else (before // 2,))}


@given(HEARD)
def test_from_whatever_was_before_it_comes_back_to_all_frames_and_forgets(heard):
    cooling = Cooling()
    hear(cooling, [*heard, *every(COOL, 4 * LONGEST_S, 60)])
    assert cooling.one_in == 1
    assert hear(cooling, [(HOT, 5), *every(COOL, SPELL_S + 5)], 1e7)[0::13] == [2, 1]


@given(HEARD)
def test_while_it_stays_hot_it_steps_down_to_the_floor_and_no_sooner_than_that(heard):
    cooling = Cooling()
    hear(cooling, [*heard, (COOL, 2 * SPELL_S)])
    told = hear(cooling, every(HOT, 3 * SETTLE_S + 10), 1e7)
    assert told == sorted(told)
    assert told[-1] == FEWEST
    for level in (2, 4):
        assert told.count(level) in (0, SETTLE_S / 5)


def test_steps_back_need_a_minute_of_being_cool_or_an_hour_of_being_warm():
    cooling = Cooling()
    hear(cooling, every(HOT, 2 * SETTLE_S))
    told = hear(cooling, every(COOL, 2 * SPELL_S + 10), 1e6)
    assert (told[0], told[-1]) == (2, 1)  # the first minute has passed unheard
    hear(cooling, every(HOT, 2 * SETTLE_S), 2e6)
    told = hear(cooling, [*every(WARM, LONGEST_S - 5), *every(WARM, 10)], 2e6 + 2 * SETTLE_S)
    assert (told[-3], told[-1]) == (4, 2)
    flicker = [*every(COOL, SPELL_S - 5), (WARM, 5)] * 20
    assert set(hear(cooling, flicker, 2e6 + 2 * SETTLE_S + LONGEST_S + 5)) == {2}


def test_a_step_back_that_makes_it_hot_again_is_tried_half_as_often():
    cooling, now_s, waits = Cooling(), 0.0, []
    for _ in range(9):
        cooling.hear(*HOT, now_s)
        assert cooling.one_in == 2  # at once
        began_s = now_s
        while cooling.one_in == 2:
            now_s += 5
            cooling.hear(*COOL, now_s)
        waits.append(now_s - began_s)
        now_s += 5
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_the_time_it_was_hot_is_added_up():
    cooling = Cooling()
    hear(cooling, [(HOT, 5), (HOT, 5), (WARM, 7), (COOL, 100), (HOT, 3), (COOL, 1)])
    assert cooling.throttled_s == 5 + 7 + 1


@pytest.mark.parametrize("around_c", [45.0, 50.0])
def test_a_model_of_a_board_misses_fewer_deadlines_and_is_throttled_less(around_c):
    still, stepping = run(around_c, False), run(around_c, True)
    assert still["late"] > 0.3
    assert stepping["late"] < 0.02
    assert stepping["halved"] < 0.02 < 0.4 < still["halved"]


def test_a_model_of_a_board_that_is_not_throttled_takes_all_frames():
    assert run(40.0, True) == run(40.0, False)
