"""Overflow is refused before a session starts, and what is let in is exact at its extremes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import Round

from narrows.errors import ConfigError
from narrows.sharing import field
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.code import LagrangeCode
from narrows.sharing.decoding import Decoder
from narrows.sharing.evaluation import evaluate
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.fixed_point import FixedPoint, dequantise, signed
from narrows.sharing.parameters import SharingParameters

PRIMES = [MERSENNE_61, MERSENNE_31]
FACTORS = [1, 2]


def largest_session(prime: int, factors: int) -> SessionBounds:
    """Three holders, with the most columns at the last that the bound lets in."""
    parameters = SharingParameters(2 * factors * 2 + 1, 2, 1, 2 * factors, prime)
    data_bits = {1: 24, 2: 12}[factors] if prime == MERSENNE_61 else {1: 9, 2: 3}[factors]
    kind = FixedPoint(data_bits, 1.0)

    def session(columns: int) -> SessionBounds:
        return SessionBounds(parameters, kind, kind, (1, 2, columns), factors)

    fits, too_many = 1, 1 << 20
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        try:
            session(middle)
            fits = middle
        except ConfigError:
            too_many = middle
    return session(fits)


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_largest_session_let_in_is_exact_at_extreme_values(prime, factors, sign):
    bounds = largest_session(prime, factors)
    k, p = bounds.parameters.segments, prime
    extreme = [np.full((k, 1, d), bounds.data.limit) for d in bounds.columns]
    # all products of one sign; an even number of factors of the sign given would hide it
    signs = [sign] + [1.0] * (factors - 1)
    weights = [np.stack([np.full((d, 1), s) for s in signs]) for d in bounds.columns]
    this = Round(
        bounds.parameters,
        [bounds.data.quantise(x, p) for x in extreme],
        [bounds.weights.quantise(w, p) for w in weights],
    )
    decoder = Decoder(LagrangeCode(bounds.parameters))
    sums = decoder.decode(this.responses(decoder.code), this.shape).sums
    assert signed(sums, p).ravel().tolist() == [int(sign) * bounds.largest_sum] * k


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("factors", FACTORS)
def test_one_column_more_is_refused_and_would_have_wrapped(prime, factors):
    bounds = largest_session(prime, factors)
    *others, last = bounds.columns
    with pytest.raises(ConfigError, match=r"must be below p/2") as error:
        replace(bounds, columns=(*others, last + 1))
    unit = bounds.data.largest * bounds.weights.largest
    overflowing = sum((d * unit) ** factors for d in (*others, last + 1))
    assert f"= {overflowing}, must be below p/2 = {prime // 2}" in str(error.value)
    assert signed(np.array([overflowing % prime], np.uint64), prime)[0] != overflowing


def test_the_refusal_says_how_many_bits_to_take_off():
    parameters = SharingParameters(5, 2, 1, 2, MERSENNE_31)
    with pytest.raises(ConfigError, match="take 4 bits off the result's scale of 28"):
        SessionBounds(parameters, FixedPoint(14, 1.0), FixedPoint(14, 1.0), (30,) * 2)
    SessionBounds(parameters, FixedPoint(12, 1.0), FixedPoint(12, 1.0), (30,) * 2)


def test_counts_of_numpys_kind_do_not_overflow_in_the_proof():
    kind = FixedPoint(29, 1.0)
    with pytest.raises(ConfigError, match="must be below p/2"):
        SessionBounds(SharingParameters(5, 2, 1, 2), kind, kind, np.array([64, 64]))


@pytest.mark.parametrize(
    ("columns", "factors", "message"),
    [
        ((3, 0), 1, "expected at least one for each"),
        ((), 1, "expected at least one"),
        ((1,) * 6, 1, "N = 5 holders"),
        ((3, 3), 2, "has degree 4, but the code is made for D = 2"),
    ],
)
def test_sessions_that_do_not_fit_their_code_are_refused(columns, factors, message):
    kind = FixedPoint(8, 1.0)
    with pytest.raises(ConfigError, match=message):
        SessionBounds(SharingParameters(5, 2, 1, 2), kind, kind, columns, factors)


@settings(deadline=None, max_examples=60)
@given(
    factors=st.sampled_from(FACTORS),
    columns=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    bits=st.integers(3, 10),
    seed=st.integers(0, 1 << 32),
    extreme=st.booleans(),
)
def test_decoded_sums_are_within_the_quantisation_error_of_the_reals(
    factors, columns, bits, seed, extreme
):
    p = MERSENNE_61
    parameters = SharingParameters(9, 2, 1, 2 * factors)
    bounds = SessionBounds(
        parameters, FixedPoint(bits, 2.0), FixedPoint(bits + 1, 1.5), tuple(columns), factors
    )
    rng = np.random.default_rng(seed)
    reals, total = 0.0, np.zeros((3, 2), np.uint64)
    for d in columns:
        x, w = rng.uniform(-2, 2, (3, d)), rng.uniform(-1.5, 1.5, (factors, d, 2))
        if extreme:  # a quarter of a step below the limits: errors of one sign add up
            x, w = np.full_like(x, 2 - 0.5 ** (bits + 1)), np.full_like(w, 1.5 - 0.5 ** (bits + 2))
        reals = reals + np.prod(x @ w, axis=0)
        shares = bounds.data.quantise(x, p), bounds.weights.quantise(w, p)
        total = field.add(total, evaluate(*shares, p), p)
    error = np.abs(dequantise(total, bounds.scale_bits, p) - reals).max()
    assert error <= bounds.quantisation_error * (1 + 1e-9)
    if extreme and factors == 1:
        assert error > 0.5 * bounds.quantisation_error  # the bound is not loose
