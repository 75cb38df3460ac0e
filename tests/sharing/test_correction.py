"""Wrong responses are corrected and named; more of them than can be are refused."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import random_round, shifted

from narrows.errors import WrongResponses
from narrows.sharing.code import LagrangeCode
from narrows.sharing.correction import decode, wrong_positions
from narrows.sharing.decoding import Decoder
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.parameters import SharingParameters

PRIMES = [MERSENNE_61, MERSENNE_31]


@pytest.mark.parametrize("p", [*PRIMES, 101])
@settings(deadline=None)
@given(data=st.data())
def test_up_to_a_wrong_values_of_a_codeword_are_found(p, data):
    threshold, errors = data.draw(st.integers(1, 8)), data.draw(st.integers(0, 4))
    n = threshold + 2 * errors + data.draw(st.integers(0, 1))
    message = data.draw(st.lists(st.integers(0, p - 1), min_size=threshold, max_size=threshold))
    points = list(range(5, 5 + n))
    values = [sum(c * x**j for j, c in enumerate(message)) % p for x in points]
    wrong = set(data.draw(st.permutations(range(n)))[:errors])
    for i in wrong:
        values[i] = (values[i] + data.draw(st.integers(1, p - 1))) % p
    while message and message[-1] == 0:
        message.pop()
    assert decode(points, values, threshold, p) == message
    assert wrong_positions(points, values, threshold, p) == wrong


def test_a_word_far_from_every_codeword_is_not_decoded():
    rng = np.random.default_rng(0)
    values = [int(x) for x in rng.integers(0, MERSENNE_61, 11)]
    assert wrong_positions(range(1, 12), values, 5, MERSENNE_61) is None


def corrected(code: tuple[int, int, int, int], prime: int, wrong: tuple[int, ...], spoil):
    """(what `correct` makes of a round whose `wrong` parties' responses are spoilt, the truth)."""
    parameters = SharingParameters(*code, prime)
    decoder, this = Decoder(LagrangeCode(parameters)), random_round(parameters, 3)
    responses = this.responses(decoder.code)
    for n in wrong:
        responses[n] = spoil(responses[n], prime)
    return decoder.correct(responses, this.shape), this.sums_in_the_clear()


def one_element(response, p):
    spoilt = response.copy()
    spoilt[-1, -1] = (int(spoilt[-1, -1]) + 1) % p
    return spoilt


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("spoil", [shifted, one_element, lambda r, p: np.zeros_like(r)])
def test_any_a_wrong_parties_are_corrected_and_named(prime, spoil):
    for count in range(3):  # N = 9, R = 5: A = 2
        for wrong in combinations(range(9), count):
            decoded, expected = corrected((9, 2, 1, 2), prime, wrong, spoil)
            assert decoded.wrong == wrong
            assert decoded.sums.tolist() == expected
            assert decoded.surplus == 4 - count


def test_wrong_in_different_places_are_all_found():
    parameters = SharingParameters(16, 3, 1, 2)  # R = 7, A = 4
    decoder, this = Decoder(LagrangeCode(parameters)), random_round(parameters, 4)
    responses = this.responses(decoder.code)
    for n, place in zip((1, 6, 11, 15), np.ndindex(2, 2), strict=True):
        responses[n] = responses[n].copy()
        responses[n][place] ^= np.uint64(1)
    decoded = decoder.correct(responses, this.shape)
    assert decoded.wrong == (1, 6, 11, 15)
    assert decoded.sums.tolist() == this.sums_in_the_clear()


def test_liars_who_agree_on_another_polynomial_are_outvoted():
    parameters = SharingParameters(9, 2, 1, 2)
    decoder, this = Decoder(LagrangeCode(parameters)), random_round(parameters, 5)
    other = random_round(parameters, 6).responses(decoder.code)
    lies = {n: other[n] for n in (0, 8)}
    decoded = decoder.correct({**this.responses(decoder.code), **lies}, this.shape)
    assert decoded.wrong == (0, 8)
    assert decoded.sums.tolist() == this.sums_in_the_clear()


@pytest.mark.parametrize("count", [3, 4])
def test_more_wrong_ones_than_a_are_refused(count):
    with pytest.raises(WrongResponses, match=r"9 responses correct at most A = 2 wrong ones"):
        corrected((9, 2, 1, 2), MERSENNE_61, tuple(range(count)), shifted_by_place)


def shifted_by_place(response, p):
    return np.random.default_rng(int(response[0, 0])).integers(0, p, response.shape, np.uint64)
