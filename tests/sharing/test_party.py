"""A party on arrays alone: what it shares, what it computes, and what it will not compute."""

from dataclasses import replace

import numpy as np
import pytest

from narrows.errors import ConfigError, SharingError
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.decoding import Decoder
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.fixed_point import FixedPoint, signed
from narrows.sharing.parameters import SharingParameters
from narrows.sharing.party import RoundShare, compute, elements, share_round, share_table
from narrows.sharing.schedule import Schedule
from narrows.sharing.terms import Terms


def terms(factors: int = 1, privacy: int = 1, records: int = 23) -> Terms:
    """Three holders among more parties could not be: every party holds."""
    degree = 2 * factors
    n = degree * (2 + privacy - 1) + 2
    kind = FixedPoint(8, 2.0)
    columns = tuple(1 + i % 3 for i in range(n))
    bounds = SessionBounds(SharingParameters(n, 2, privacy, degree), kind, kind, columns, factors)
    names = tuple(f"party-{i}" for i in range(n))
    return Terms("0" * 32, names, bounds, 3, Schedule(records, 5, 2, 4, 1))


class Holders:
    """Every party's table and weights, and its shares at every other."""

    def __init__(self, of: Terms, rows: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.terms, e, f = of, of.width, of.bounds.factors
        columns = of.bounds.columns
        self.tables = [rng.uniform(-2, 2, (of.schedule.records, d)) for d in columns]
        self.weights = [rng.uniform(-2, 2, (f, d, e)) for d in columns]
        self.table_shares = [share_table(of, table) for table in self.tables]
        self.texts = [share_round(of, weights, rows) for weights in self.weights]

    def shares(self, party: int, rows: int) -> list[RoundShare | None]:
        return [
            RoundShare.decode(texts[party], self.terms, holder, rows)
            for holder, texts in enumerate(self.texts)
        ]

    def data(self, party: int) -> list[np.ndarray]:
        return [shares[party] for shares in self.table_shares]

    def in_the_clear(self, rows: np.ndarray, without: tuple[int, ...] = ()) -> np.ndarray:
        """(K, b, e) of Python's integers."""
        scale = 2.0**self.terms.bounds.data.scale_bits
        total = 0
        for n, (table, weights) in enumerate(zip(self.tables, self.weights, strict=True)):
            if n in without:
                continue
            whole = np.rint(self.terms.schedule.arrange(table) * scale).astype(int).astype(object)
            product = 1
            for factor in np.rint(weights * scale).astype(int).astype(object):
                product = product * (whole[:, rows] @ factor)
            total = total + product
        return total


@pytest.mark.parametrize(("factors", "privacy"), [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("index", [0, -1])
def test_what_all_compute_decodes_to_the_sum_over_plain_numbers(factors, privacy, index):
    agreed = terms(factors, privacy)
    rows = agreed.schedule.step(index % len(agreed.schedule)).rows
    holders = Holders(agreed, len(rows))
    responses = {
        m: compute(agreed, holders.data(m), holders.shares(m, len(rows)), rows)
        for m in range(len(agreed.parties))
    }
    decoded = Decoder(agreed.code).decode(responses, (len(rows), agreed.width))
    sums = signed(decoded.sums, agreed.bounds.parameters.prime)
    assert (sums == holders.in_the_clear(rows)).all()
    assert decoded.surplus == agreed.bounds.parameters.stragglers >= 1


def test_a_stale_holder_counts_with_its_weights_and_one_that_never_shared_not_at_all():
    agreed = terms()
    rows = agreed.schedule.step(0).rows
    holders = Holders(agreed, len(rows))
    responses = {}
    for m in range(len(agreed.parties)):
        shares = holders.shares(m, len(rows))
        shares[0] = replace(shares[0], zero=None)
        shares[1] = None
        responses[m] = compute(agreed, holders.data(m), shares, rows)
    decoded = Decoder(agreed.code).decode(responses, (len(rows), agreed.width))
    sums = signed(decoded.sums, agreed.bounds.parameters.prime)
    assert (sums == holders.in_the_clear(rows, without=(1,))).all()


@pytest.mark.parametrize("privacy", [1, 2])
def test_t_fresh_masks_are_too_few_and_one_more_is_enough(privacy):
    agreed = terms(privacy=privacy)
    rows = agreed.schedule.step(0).rows
    holders = Holders(agreed, len(rows))

    def with_fresh(number: int) -> np.ndarray:
        shares = holders.shares(0, len(rows))
        shares = [s if i < number else replace(s, zero=None) for i, s in enumerate(shares)]
        return compute(agreed, holders.data(0), shares, rows)

    for number in range(privacy + 1):
        with pytest.raises(SharingError, match=f"{number} fresh zero-masks: at least T \\+ 1"):
            with_fresh(number)
    assert with_fresh(privacy + 1).shape == (len(rows), agreed.width)


def test_weights_and_tables_out_of_range_are_never_shared():
    agreed = terms()
    with pytest.raises(ConfigError, match="1 of 3 values"):
        share_round(agreed, np.array([[[0.0, 2.01, 0.0]]]), 2)
    with pytest.raises(ConfigError, match="range"):
        share_table(agreed, np.full((23, 1), np.nan))


def test_a_share_tells_nothing_that_the_next_one_of_the_same_weights_does():
    agreed = terms()
    weights = np.zeros((1, 1, agreed.width))
    one, two = share_round(agreed, weights, 2), share_round(agreed, weights, 2)
    assert not set(one) & set(two)


@pytest.mark.parametrize("prime", [MERSENNE_61, MERSENNE_31])
def test_elements_are_those_below_p_and_as_many_as_expected(prime):
    numbers = np.array([0, 1, prime - 1], "<u8")
    np.testing.assert_array_equal(elements(numbers.tobytes(), 3, prime), numbers)
    for length in (0, 8, 23, 25, 32):
        with pytest.raises(SharingError, match=f"{length} bytes: expected 3 elements"):
            elements(numbers.tobytes().ljust(32, b"\0")[:length], 3, prime)
    for beyond in (prime, prime + 1, 2**64 - 1):
        with pytest.raises(SharingError, match="an element of p or more"):
            elements(np.array([0, beyond, 1], "<u8").tobytes(), 3, prime)
    assert elements(b"", 0, prime).size == 0


@pytest.mark.parametrize("rows", [-4, -1])
def test_no_bytes_are_a_share_of_fewer_than_no_rows(rows):
    agreed = terms()
    for length in range(0, 8 * agreed.width * 2, 8):
        with pytest.raises(SharingError):
            RoundShare.decode(bytes(length), agreed, 0, rows)
