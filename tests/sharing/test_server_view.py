"""What the server sees depends on the sums alone: counted over every mask of a small field.

Two holders compute f = x * w over F_7 with K = T = 1 and D = 2, so R = N = 3. (x, w) is (0, 0) at
both, or (1, 1) and (1, -1): both sums are 0. The server interpolates the whole polynomial from
the responses, not only its value at the secret; without zero-masks the rest of it tells.
"""

from itertools import product

import numpy as np
import pytest

from narrows.sharing import field
from narrows.sharing.code import LagrangeCode
from narrows.sharing.decoding import Decoder
from narrows.sharing.field import Field
from narrows.sharing.parameters import SharingParameters

P = 7
CODE = LagrangeCode(SharingParameters(parties=3, segments=1, privacy=1, degree=2, prime=P))
NOTHING = [(0, 0), (0, 0)]
OPPOSITES = [(1, 1), (1, P - 1)]
OTHER_SUM = [(1, 1), (1, 1)]


def every(count: int) -> Field:
    """All vectors of F_7: (count, 7**count), a column each."""
    return np.array(list(product(range(P), repeat=count)), np.uint64).T


def pairwise_sums(a: Field, b: Field) -> Field:
    """(N, m) and (N, n) to (N, m * n): every column of a plus every column of b."""
    return field.add(a[:, :, None], b[:, None, :], P).reshape(a.shape[0], -1)


def products_shared(x: int, w: int) -> Field:
    """One holder's part of the three responses, for each of its 49 pairs of masks: (3, 49)."""
    data_masks, weight_masks = every(2)
    data = CODE.encode_segments(np.full((1, 49), x, np.uint64), data_masks[None])
    weights = CODE.encode_replicated(np.full(49, w, np.uint64), weight_masks[None])
    return field.multiply(data, weights, P)


def views(holders: list[tuple[int, int]], zero_masks: bool) -> Field:
    """The server's view, (3, number of all choices of masks), one column as likely as another."""
    parts = [products_shared(x, w) for x, w in holders]
    if zero_masks:  # q has R - K = 2 coefficients
        parts = [pairwise_sums(part, CODE.encode_zero(every(2))) for part in parts]
    return pairwise_sums(*parts)


def distribution(seen: Field) -> np.ndarray:
    """How often each of the views occurs, a row of digits to base 7 each."""
    digits = P ** np.arange(len(seen), dtype=np.int64)
    return np.bincount(digits @ seen.astype(np.int64), minlength=P ** len(seen))


def total_variation(one: Field, other: Field) -> float:
    assert one.shape == other.shape
    return np.abs(distribution(one) - distribution(other)).sum() / (2 * one.shape[1])


def test_without_zero_masks_the_view_tells_equal_sums_apart():
    distance = total_variation(views(NOTHING, False), views(OPPOSITES, False))
    assert distance == pytest.approx(0.857, abs=5e-4)


def test_with_zero_masks_the_views_of_equal_sums_are_the_same_distribution():
    one, other = views(NOTHING, True), views(OPPOSITES, True)
    assert one.shape == (3, 7**8)
    assert total_variation(one, other) == 0.0


def test_one_holders_zero_mask_is_enough():
    def views_with_one(holders):
        first, second = (products_shared(x, w) for x, w in holders)
        return pairwise_sums(pairwise_sums(first, CODE.encode_zero(every(2))), second)

    assert total_variation(views_with_one(NOTHING), views_with_one(OPPOSITES)) == 0.0


def test_other_sums_are_seen_as_other():
    assert total_variation(views(NOTHING, True), views(OTHER_SUM, True)) == 1.0


@pytest.mark.parametrize("holders", [NOTHING, OPPOSITES, OTHER_SUM])
def test_every_one_of_these_views_decodes_to_the_sum(holders):
    seen = views(holders, True)
    decoded = Decoder(CODE).decode(dict(enumerate(seen)), seen.shape[1:])
    assert (decoded.sums == sum(x * w for x, w in holders) % P).all()


def seen_with_party_0(x: int, w: int) -> Field:
    """One holder's secrets as seen by the server and party 0 together: (6, 7**4)."""
    data_masks, weight_masks = every(2)
    data = CODE.encode_segments(np.full((1, 49), x, np.uint64), data_masks[None])
    weights = CODE.encode_replicated(np.full(49, w, np.uint64), weight_masks[None])
    zeros = CODE.encode_zero(every(2))
    held = np.stack([np.repeat(data[0], 49), np.repeat(weights[0], 49), np.tile(zeros[0], 49)])
    return np.concatenate([held, pairwise_sums(field.multiply(data, weights, P), zeros)])


@pytest.mark.parametrize(
    ("one", "other"), [((0, 0), (3, 0)), ((0, 0), (0, 5)), ((1, 6), (3, 2)), ((2, 5), (1, 3))]
)
def test_the_server_and_t_parties_together_see_no_more_of_a_holder_than_its_product(one, other):
    assert total_variation(seen_with_party_0(*one), seen_with_party_0(*other)) == 0.0
