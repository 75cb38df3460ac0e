import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from narrows.codec.tables import CodingTables
from narrows.errors import BundleError

pmfs = hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 1)).filter(
    lambda p: p.sum() > 0
)


@settings(max_examples=100, deadline=None)
@given(pmfs)
def test_any_pmf_becomes_a_valid_table(pmf):
    tables = CodingTables.from_pmfs([pmf], [-10])
    again = CodingTables.from_arrays(tables.to_arrays("x."), "x.")  # checks every invariant
    assert np.array_equal(again.arrays.cdf, tables.arrays.cdf)


def test_quantised_tables_lose_less_than_a_thousandth_of_the_rate():
    values = np.arange(-200, 201)
    for scale in (0.2, 1.0, 5.0, 20.0):
        pmf = np.exp(-np.abs(values) / scale)
        pmf /= pmf.sum()
        tables = CodingTables.from_pmfs([pmf], [-200]).arrays
        low, n = int(tables.offsets[0]) + 200, int(tables.lengths[0])
        frequencies = np.diff(tables.cdf.astype(float)) / 2**14
        kept = pmf[low : low + n]
        cut = max(0.0, 1 - kept.sum())
        bits = -(kept * np.log2(frequencies[:-1])).sum() + cut * (10 - np.log2(frequencies[-1]))
        entropy = -(pmf[pmf > 0] * np.log2(pmf[pmf > 0])).sum()
        assert bits <= entropy * 1.001 + 1e-3


def test_improbable_ends_are_left_to_the_escape():
    pmf = np.exp(-np.abs(np.arange(-500, 501)) / 0.5)
    assert int(CodingTables.from_pmfs([pmf], [-500]).arrays.lengths[0]) < 30


@pytest.mark.parametrize(
    "bad", [np.array([]), np.array([-1.0, 2.0]), np.array([np.nan]), np.zeros(3)]
)
def test_a_pmf_without_sense_is_refused(bad):
    with pytest.raises(ValueError, match="pmf"):
        CodingTables.from_pmfs([bad], [0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cdf": np.array([0, 5, 5, 16384], np.uint16)}, "must rise"),
        ({"cdf": np.array([1, 5, 9, 16384], np.uint16)}, "must rise from 0"),
        ({"cdf": np.array([0, 5, 16384], np.uint16)}, "the lengths need 4"),
        ({"lengths": np.array([-1], np.int32)}, "more than"),
        ({"lengths": np.array([0], np.int32)}, "a table of no symbol"),
        ({"offsets": np.array([70000], np.int32)}, "beyond int16"),
        ({"offsets": np.array([32767], np.int32)}, "beyond int16"),
        ({"offsets": np.array([-(2**31)], np.int32)}, "beyond int16"),
        ({"offsets": np.array([0, 1], np.int32)}, "offsets for"),
        ({"cdf": np.array([0, 5, 9, 16384], np.int32)}, "expected int32 offsets"),
    ],
)
def test_tables_that_do_not_hold_together_are_named(change, said):
    arrays = {
        "offsets": np.array([0], np.int32),
        "lengths": np.array([2], np.int32),
        "cdf": np.array([0, 5, 9, 16384], np.uint16),
    }
    CodingTables.from_arrays(arrays)
    with pytest.raises(BundleError, match=said):
        CodingTables.from_arrays(arrays | change)


def test_a_pmf_beyond_int16_is_refused():
    with pytest.raises(ValueError, match="beyond int16"):
        CodingTables.from_pmfs([np.ones(10)], [32765])


def test_a_missing_tensor_is_named():
    with pytest.raises(BundleError, match="cdf"):
        CodingTables.from_arrays(
            {"offsets": np.zeros(1, np.int32), "lengths": np.zeros(1, np.int32)}
        )
