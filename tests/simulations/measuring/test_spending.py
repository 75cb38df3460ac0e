"""Whose joules they were: parts that add up, and no more than there were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.energy.boards import NO_RADIO, load_board, radio_of
from narrows.edge.energy.model import CpuTimeModel
from narrows.edge.energy.sensor import About
from narrows.simulations.measuring.spending import (
    COMPUTING,
    OTHER,
    RADIO,
    Work,
    joules_by_stage,
    rate_of,
)
from narrows.simulations.measuring.window import Spent

seconds = st.floats(0, 10)
stages = st.dictionaries(st.sampled_from(COMPUTING), seconds)


class Meter:
    """A sensor of which only what it is matters here."""

    about = About("rapl", "made up", "package")

    def joules(self):
        raise AssertionError("nothing is read any more")


@given(st.integers(1, 1000), seconds, stages, st.floats(0, 20), st.integers(0, 10**6))
def test_the_parts_are_the_devices_processor_time_and_its_bytes(frames, cpu_s, taken, rate, sent):
    work, radio = Work(frames, cpu_s, taken, sent, 2 * sent), radio_of("lte")
    found = joules_by_stage(rate, work, radio)
    assert set(found) == {*taken, OTHER, RADIO}
    assert all(joules >= 0 for joules in found.values())
    whole = (rate * cpu_s + sent * (radio.up_j + 2 * radio.down_j)) / frames
    assert sum(found.values()) == pytest.approx(whole, abs=1e-12)


def test_stages_whose_clocks_waited_for_a_busy_processor_are_cut_in_proportion():
    found = joules_by_stage(2.0, Work(10, 1.0, {"head": 3.0, "code": 1.0}, 0, 0), NO_RADIO)
    assert found["head"] == pytest.approx(2.0 * 0.75 / 10)
    assert found["code"] == pytest.approx(2.0 * 0.25 / 10)
    assert found[OTHER] == found[RADIO] == 0


def test_a_models_rate_is_its_cores_watts_whatever_else_ran():
    model = CpuTimeModel(load_board("pi4"), lambda: 0.0, lambda: 0.0)
    assert rate_of(model, 0, Spent(5, 1, (9,), 2, 1), Spent(1, 1e-6, (0,), 0, 0)) == 0.85


@given(
    idle_w=st.floats(0, 20), core_w=st.floats(0.1, 20), rest_busy=st.floats(0, 0.5),
    busy=st.floats(0.2, 4),
)  # fmt: skip
def test_a_sensors_rate_is_what_was_added_above_rest(idle_w, core_w, rest_busy, busy):
    """Whatever ran at rest already, for as long as it goes on."""

    def spent(at_s, busy_s):
        return Spent(7, at_s, (0.0, idle_w * at_s + core_w * busy_s), busy_s, 0.0)

    rest, window = spent(3.0, 3.0 * rest_busy), spent(8.0, 8.0 * (rest_busy + busy))
    assert rate_of(Meter(), 1, window, rest) == pytest.approx(core_w, rel=1e-6)


def test_a_window_that_is_like_rest_tells_nothing():
    rest = Spent(1, 1.0, (5.0,), 1.0, 0.0)
    assert rate_of(Meter(), 0, Spent(5, 2.0, (10.0,), 2.0, 0.0), rest) is None
