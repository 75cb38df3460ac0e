"""Sums decoded from responses are the integers' sums, whoever answers."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import random_round

from narrows.errors import TooFewResponses, WrongResponses
from narrows.sharing.code import LagrangeCode
from narrows.sharing.decoding import Decoder
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.parameters import SharingParameters, feasible_codes

PRIMES = [MERSENNE_61, MERSENNE_31]
UP_TO_EIGHT = sorted(
    {
        (code.parties, code.segments, code.privacy, code.degree)
        for parties in range(3, 9)
        for _, code in feasible_codes(parties)
    }
)
BEYOND_EXHAUSTIVE = [(10, 3, 1, 2), (10, 2, 2, 2), (10, 2, 1, 4), (16, 3, 1, 4)]
BEYOND = [(16, 2, 3, 2), (28, 10, 2, 2), (50, 20, 3, 2)]


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("code", UP_TO_EIGHT + BEYOND_EXHAUSTIVE)
def test_every_subset_of_threshold_size_decodes_the_integers_sums(code, prime):
    parameters = SharingParameters(*code, prime)
    decoder = Decoder(LagrangeCode(parameters))
    this = random_round(parameters, seed=sum(code))
    responses, expected = this.responses(decoder.code), this.sums_in_the_clear()
    for parties in combinations(responses, parameters.recovery_threshold):
        decoded = decoder.decode({n: responses[n] for n in parties}, this.shape)
        assert decoded.sums.tolist() == expected
        assert decoded.surplus == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("code", BEYOND)
def test_ten_thousand_random_subsets_decode_the_integers_sums(code, prime):
    parameters = SharingParameters(*code, prime)
    decoder = Decoder(LagrangeCode(parameters))
    this = random_round(parameters, seed=sum(code), rows=1)
    responses, expected = this.responses(decoder.code), this.sums_in_the_clear()
    rng = np.random.default_rng(0)
    for _ in range(10_000):
        parties = rng.choice(parameters.parties, parameters.recovery_threshold, replace=False)
        decoded = decoder.decode({int(n): responses[n] for n in parties}, this.shape)
        assert decoded.sums.tolist() == expected


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_responders_decode_and_the_surplus_verifies(data):
    parties = data.draw(st.integers(3, 12))
    parameters = data.draw(st.sampled_from([c for _, c in feasible_codes(parties)]))
    this = random_round(parameters, data.draw(st.integers(0, 1 << 16)), rows=3, e=1)
    decoder = Decoder(LagrangeCode(parameters))
    responses = this.responses(decoder.code)
    threshold = parameters.recovery_threshold
    count = data.draw(st.integers(threshold, parties))
    answered = data.draw(st.permutations(range(parties)))[:count]
    decoded = decoder.decode({n: responses[n] for n in answered}, this.shape)
    assert decoded.sums.tolist() == this.sums_in_the_clear()
    assert (decoded.surplus, decoded.wrong) == (count - threshold, ())


@pytest.fixture
def round_of_ten():
    """(decoder, this round, responses) of N = 10, K = 2, T = 1, D = 2, so R = 5."""
    parameters = SharingParameters(10, 2, 1, 2)
    decoder, this = Decoder(LagrangeCode(parameters)), random_round(parameters, 1)
    return decoder, this, this.responses(decoder.code)


def test_too_few_responses_say_how_many_came_and_how_many_are_needed(round_of_ten):
    decoder, this, responses = round_of_ten
    few = {n: responses[n] for n in (0, 3, 4, 9)}
    for decode in (decoder.decode, decoder.correct):
        with pytest.raises(
            TooFewResponses, match=r"4 responses came and R = 5 .* 1 more of the 10"
        ):
            decode(few, this.shape)
        with pytest.raises(TooFewResponses, match="0 responses came"):
            decode({}, this.shape)


def test_a_surplus_response_that_disagrees_is_named(round_of_ten):
    decoder, this, responses = round_of_ten
    answered = {n: responses[n] for n in range(7)}
    answered[6] = answered[6] ^ np.uint64(1)
    with pytest.raises(WrongResponses, match=r"parties \[6\] are not on the polynomial") as error:
        decoder.decode(answered, this.shape)
    assert error.value.parties == (6,)


def test_a_wrong_response_among_the_first_shows_in_the_surplus(round_of_ten):
    decoder, this, responses = round_of_ten
    answered = {n: responses[n] for n in range(6)}
    answered[2] = answered[3]
    with pytest.raises(WrongResponses, match=r"those of \[0, 1, 2, 3, 4\]"):
        decoder.decode(answered, this.shape)


@pytest.mark.parametrize(
    "response",
    [
        np.zeros((2, 3), np.uint64),
        np.zeros((2, 2), np.int64),
        np.full((2, 2), MERSENNE_61, np.uint64),
    ],
    ids=["shape", "dtype", "range"],
)
def test_malformed_responses_are_named_and_left_out_where_wrong_ones_are(round_of_ten, response):
    decoder, this, responses = round_of_ten
    answered = {**responses, 4: response}
    with pytest.raises(WrongResponses, match=r"parties \[4\] are not \(2, 2\)"):
        decoder.decode(answered, this.shape)
    decoded = decoder.correct(answered, this.shape)
    assert decoded.wrong == (4,)
    assert decoded.sums.tolist() == this.sums_in_the_clear()


def test_a_party_outside_the_session_is_named(round_of_ten):
    decoder, this, responses = round_of_ten
    with pytest.raises(WrongResponses, match=r"\[10\]"):
        decoder.decode({**responses, 10: responses[0]}, this.shape)


def test_a_responding_sets_weights_are_computed_once(round_of_ten):
    decoder, this, responses = round_of_ten
    for order in ([0, 2, 4, 6, 8], [8, 6, 4, 2, 0]):
        decoder.decode({n: responses[n] for n in order}, this.shape)
    assert decoder._weights.cache_info().misses == 1
