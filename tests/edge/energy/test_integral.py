"""Watts into joules, by clocks and meters that are handed in."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.energy.integral import Integral, sampled
from narrows.edge.energy.sensor import About
from narrows.errors import SensorError


class Ramp:
    """A meter whose power is a function of a clock that the test moves."""

    about = About("ramp", "nothing", "board")

    def __init__(self, watts):
        self.now_s, self._watts = 0.0, watts

    def clock(self):
        return self.now_s

    def watts(self):
        return self._watts(self.now_s)


seconds = st.lists(st.floats(0.001, 10), min_size=1, max_size=20)


@given(seconds, st.floats(0, 20), st.floats(0, 5))
def test_a_straight_line_is_integrated_exactly_however_it_is_sampled(steps, start, slope):
    ramp = Ramp(lambda at_s: start + slope * at_s)
    integral = Integral(ramp, ramp.clock)
    for step in steps:
        ramp.now_s += step
        integral.joules()
    length = ramp.now_s
    assert integral.joules() == pytest.approx(start * length + slope * length**2 / 2, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 30)), max_size=20))
def test_it_never_falls(samples):
    powers = [3.0]
    ramp = Ramp(lambda at_s: powers[-1])
    integral, before = Integral(ramp, ramp.clock), 0.0
    for step, power in samples:
        powers.append(power)
        ramp.now_s += step
        assert integral.joules() >= before
        before = integral.joules()


def test_a_thread_takes_samples_between_two_readings():
    seen = threading.Event()
    ramp = Ramp(lambda at_s: 2.0)

    def watts():
        if threading.current_thread().name == "energy":
            seen.set()
        return 2.0

    ramp.watts = watts
    with sampled(Integral(ramp, ramp.clock), 0.001):
        assert seen.wait(60)


def test_a_sample_that_fails_is_bridged_and_a_reading_that_fails_is_told():
    broken = threading.Event()

    def watts(at_s):
        if broken.is_set():
            raise SensorError("unplugged")
        return 4.0

    ramp = Ramp(watts)
    integral = Integral(ramp, ramp.clock)
    broken.set()
    ramp.now_s = 1.0
    with pytest.raises(SensorError, match="unplugged"):
        integral.joules()
    broken.clear()
    ramp.now_s = 2.0
    assert integral.joules() == pytest.approx(8.0)
