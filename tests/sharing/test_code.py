"""What a sharing is: polynomials through the secrets, and segments of a table."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import random_round

from narrows.sharing.code import LagrangeCode
from narrows.sharing.evaluation import respond
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.interpolation import lagrange_matrix
from narrows.sharing.parameters import SharingParameters
from narrows.sharing.randomness import uniform
from narrows.sharing.segments import join_rows, split_rows

PRIMES = [MERSENNE_61, MERSENNE_31, 101]


def through_points(xs: list[int], ys: list[int], z: int, p: int) -> int:
    """Lagrange's formula in Python's integers."""
    total = 0
    for j, (x, y) in enumerate(zip(xs, ys, strict=True)):
        for i, other in enumerate(xs):
            if i != j:
                y = y * (z - other) * pow(x - other, -1, p) % p
        total += y
    return total % p


@pytest.mark.parametrize("p", PRIMES)
def test_lagrange_matrix_is_lagranges_formula(p):
    sources, targets = np.array([2, 9, 4, 33], np.uint64), np.array([1, 3, 50], np.uint64)
    values = uniform((4, 1), p)
    matrix = lagrange_matrix(sources, targets, p).astype(object)
    expected = [through_points(sources.tolist(), values[:, 0].tolist(), z, p) for z in (1, 3, 50)]
    assert (matrix @ values.astype(object) % p)[:, 0].tolist() == expected


@pytest.mark.parametrize("p", PRIMES)
def test_shares_are_the_polynomial_through_segments_and_masks(p):
    code = LagrangeCode(SharingParameters(7, 2, 2, 2, p))
    segments, masks = uniform((2, 1), p), uniform((2, 1), p)
    known = [*code.secret_points.tolist(), *code.mask_points.tolist()]
    values = [*segments[:, 0].tolist(), *masks[:, 0].tolist()]
    expected = [through_points(known, values, z, p) for z in code.evaluation_points.tolist()]
    assert code.encode_segments(segments, masks)[:, 0].tolist() == expected


@pytest.mark.parametrize("p", PRIMES)
def test_a_replicated_secret_is_k_equal_segments(p):
    code = LagrangeCode(SharingParameters(9, 3, 2, 2, p))
    secret, masks = uniform((2, 3), p), uniform((2, 2, 3), p)
    repeated = code.encode_segments(np.stack([secret] * 3), masks)
    assert np.array_equal(code.encode_replicated(secret, masks), repeated)


@pytest.mark.parametrize("p", PRIMES)
def test_with_one_segment_and_degree_one_it_is_shamirs_sharing(p):
    code = LagrangeCode(SharingParameters(6, 1, 2, 1, p))
    secret = uniform((1, 4), p)
    shares = code.share_segments(secret).tolist()
    for three in combinations(range(6), 3):
        points = [int(code.evaluation_points[n]) for n in three]
        for place, expected in enumerate(secret[0].tolist()):
            values = [shares[n][place] for n in three]
            assert through_points(points, values, int(code.secret_points[0]), p) == expected


@pytest.mark.parametrize("p", PRIMES)
@pytest.mark.parametrize("shape", [(7, 2, 1, 2), (9, 1, 2, 4), (12, 3, 2, 2), (6, 2, 2, 1)])
def test_a_zero_mask_is_of_the_sums_degree_and_vanishes_at_the_secrets(shape, p):
    parameters = SharingParameters(*shape, p)
    code, threshold = LagrangeCode(parameters), parameters.recovery_threshold
    shares, points = code.share_zero((1,))[:, 0].tolist(), code.evaluation_points.tolist()
    for secret in code.secret_points.tolist():
        assert through_points(points[:threshold], shares[:threshold], secret, p) == 0
    for point, share in zip(points[threshold:], shares[threshold:], strict=True):
        assert through_points(points[:threshold], shares[:threshold], point, p) == share


def test_every_sharing_is_fresh():
    code = LagrangeCode(SharingParameters(5, 1, 2, 2))
    secret = np.zeros((1, 2), np.uint64)
    for share in (
        lambda: code.share_segments(secret[None]),
        lambda: code.share_replicated(secret),
        lambda: code.share_zero((1, 2)),
    ):
        assert not np.array_equal(share(), share())


@settings(deadline=None)
@given(rows=st.integers(1, 30), segments=st.integers(1, 7))
def test_rows_split_into_segments_and_join_again(rows, segments):
    table = np.arange(2 * rows, dtype=np.uint64).reshape(rows, 2)
    split = split_rows(table, segments)
    assert split.shape == (segments, -(-rows // segments), 2)
    assert np.array_equal(join_rows(split, rows), table)


def test_a_party_needs_every_holders_shares():
    this = random_round(SharingParameters(5, 2, 1, 2), 0)
    with pytest.raises(ValueError, match="zip"):
        respond(this.segments[0], this.weights * 3, [], MERSENNE_61)


@pytest.mark.parametrize("p", PRIMES)
def test_shares_that_can_be_checked_by_hand_stay_what_they_are(p):
    """Parties of different builds share with each other: where the points stand is a format."""
    code = LagrangeCode(SharingParameters(5, 2, 1, 2, p))
    segments, mask = np.array([[5], [7]], np.uint64), np.array([[11]], np.uint64)
    shares = code.encode_segments(segments, mask)[:, 0].tolist()
    assert shares == [17, 25, 35, 47, 61]  # z**2 - z + 5 at 4 to 8
    one = np.array([[1], [0], [0]], np.uint64)
    assert code.encode_zero(one)[:, 0].tolist() == [6, 12, 20, 30, 42]  # (z - 1) * (z - 2)
