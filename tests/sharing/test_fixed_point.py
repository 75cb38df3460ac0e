"""Real numbers to residues and back, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.fixed_point import FixedPoint, dequantise, residues, signed

PRIMES = [MERSENNE_61, MERSENNE_31]


@pytest.mark.parametrize("p", PRIMES)
@settings(deadline=None)
@given(bits=st.integers(0, 20), value=st.floats(-512, 512))
def test_a_value_in_range_comes_back_within_half_a_step(p, bits, value):
    kind = FixedPoint(bits, 512.0)
    back = dequantise(kind.quantise(np.array([value]), p), bits, p)
    assert abs(back[0] - value) <= kind.rounding_error == 0.5 ** (bits + 1)


@settings(deadline=None)
@given(bits=st.integers(0, 30), limit=st.floats(1, 1e6), fraction=st.floats(-1, 1))
def test_no_value_in_range_is_larger_than_stated(bits, limit, fraction):
    kind = FixedPoint(bits, limit)
    steps = signed(kind.quantise(np.array([limit * fraction, limit]), MERSENNE_61), MERSENNE_61)
    assert abs(steps[0]) <= steps[1] == kind.largest


def test_halves_round_to_even_and_negatives_are_residues_below_the_prime():
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5])
    kind = FixedPoint(0, 4.0)
    assert kind.quantise(values, 101).tolist() == [0, 2, 2, 0, 99]


@pytest.mark.parametrize("p", [*PRIMES, 7])
def test_signs_are_split_at_half_of_the_prime(p):
    integers = np.array([-(p // 2), -1, 0, 1, p // 2])
    assert signed(residues(integers, p), p).tolist() == integers.tolist()


@pytest.mark.parametrize("value", [1.0001, -1.0001, np.inf, np.nan])
def test_values_out_of_range_are_refused_and_counted(value):
    with pytest.raises(ConfigError, match=r"1 of 3 values are not within .* \+-1\.0"):
        FixedPoint(8, 1.0).quantise(np.array([0.0, value, -1.0]), MERSENNE_61)


def test_a_float32_just_beyond_the_limit_is_refused():
    with pytest.raises(ConfigError, match="not within"):
        FixedPoint(50, 0.1).quantise(np.array([0.1], np.float32), MERSENNE_61)


@pytest.mark.parametrize(
    ("bits", "limit"), [(-1, 1.0), (61, 1.0), (60, 1.5), (4, 0.01), (8, np.nan), (8, -1.0)]
)
def test_scales_that_hold_nothing_or_too_much_are_refused(bits, limit):
    with pytest.raises(ConfigError, match="between 1 and 2"):
        FixedPoint(bits, limit)
