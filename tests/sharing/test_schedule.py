"""The order of a session's rows: every training row once an epoch, the held-out ones after it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.sharing.schedule import Schedule

COUNTS = {
    "records": st.integers(1, 60),
    "segments": st.integers(1, 7),
    "batch_rows": st.integers(1, 9),
    "epochs": st.integers(0, 3),
    "seed": st.integers(0, 5),
}


@st.composite
def schedules(draw) -> Schedule:
    counts = {name: draw(numbers) for name, numbers in COUNTS.items()}
    most = counts["records"] - (1 if counts["epochs"] else 0)
    return Schedule(held_out=draw(st.integers(0, most)), **counts)


def records_of(schedule: Schedule) -> np.ndarray:
    """(K, h + h') which record each place holds; 0: none, it is filled up."""
    return schedule.arrange(np.arange(1, schedule.records + 1))


@settings(deadline=None)
@given(schedules())
def test_an_epoch_learns_from_every_training_record_once_and_measures_every_other_once(schedule):
    places = records_of(schedule)
    training = list(range(1, schedule.records - schedule.held_out + 1))
    held_out = list(range(len(training) + 1, schedule.records + 1))
    steps = [schedule.step(index) for index in range(len(schedule))]
    for epoch in range(max(schedule.epochs, 1)):
        seen = {True: [], False: []}
        for step in steps:
            if step.epoch == epoch:
                seen[step.training] += places[:, step.rows].ravel().tolist()
        assert sorted(filter(None, seen[True])) == (training if schedule.epochs else [])
        assert sorted(filter(None, seen[False])) == held_out
    assert {step.epoch for step in steps} <= set(range(max(schedule.epochs, 1)))


@settings(deadline=None)
@given(schedules())
def test_within_an_epoch_learning_comes_first_and_no_step_is_larger_than_b(schedule):
    steps = [schedule.step(index) for index in range(len(schedule))]
    assert steps == sorted(steps, key=lambda step: (step.epoch, not step.training))
    assert all(1 <= len(step.rows) <= schedule.batch_rows for step in steps)
    assert all(0 <= row < schedule.height for step in steps for row in step.rows)


@settings(deadline=None)
@given(schedules())
def test_arranged_records_are_in_their_order_segment_by_segment(schedule):
    places = records_of(schedule)
    assert places.shape == (schedule.segments, schedule.height)
    h = schedule.heights[0]
    training, held_out = places[:, :h].ravel(), places[:, h:].ravel()
    cut = schedule.records - schedule.held_out
    np.testing.assert_array_equal(training[:cut], np.arange(1, cut + 1))
    np.testing.assert_array_equal(
        held_out[: schedule.held_out], np.arange(cut + 1, schedule.records + 1)
    )
    assert not training[cut:].any()
    assert not held_out[schedule.held_out :].any()


def test_a_table_of_columns_is_arranged_as_its_rows_are():
    schedule = Schedule(11, 4, 3, 2, 1)
    table = np.random.default_rng(0).normal(size=(11, 5))
    whole = schedule.arrange(table)
    assert whole.shape == (3, schedule.height, 5)
    for k, row in np.argwhere(records_of(schedule)):
        np.testing.assert_array_equal(whole[k, row], table[records_of(schedule)[k, row] - 1])


def test_epochs_differ_in_their_order_and_a_seed_gives_the_same_again():
    first, second = Schedule(200, 0, 1, 200, 2, seed=1), Schedule(200, 0, 1, 200, 2, seed=2)
    orders = [first.step(0).rows, first.step(1).rows, second.step(0).rows]
    assert len({tuple(rows) for rows in orders}) == 3
    np.testing.assert_array_equal(Schedule(200, 0, 1, 200, 2, seed=1).step(0).rows, orders[0])
    # of all machines and versions: it is agreed on by hash
    assert Schedule(8, 0, 1, 8, 1, seed=7).step(0).rows.tolist() == [5, 1, 6, 2, 3, 0, 7, 4]


def test_without_epochs_it_is_one_pass_over_the_held_out_records():
    schedule = Schedule(7, 5, 2, 2, 0)
    assert [step.training for step in map(schedule.step, range(len(schedule)))] == [False, False]
    assert len(Schedule(7, 7, 2, 2, 0)) == 2


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0, 0, 1, 1, 1), "records is 0: expected 1 or more"),
        ((3, -1, 1, 1, 1), "held_out is -1"),
        ((3, 1, 0, 1, 1), "segments is 0"),
        ((3, 1, 1, 0, 1), "batch_rows is 0"),
        ((3, 1, 1, 1, -1), "epochs is -1"),
        ((3, 3, 1, 1, 1), "3 of 3 records held out: none is left to learn from"),
        ((3, 4, 1, 1, 0), "4 of 3 records held out"),
    ],
)
def test_an_impossible_schedule_is_refused(numbers, said):
    with pytest.raises(ConfigError, match=said):
        Schedule(*numbers)
