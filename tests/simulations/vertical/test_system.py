"""The system in the clear against the protocol itself, with shares, masks and decoding."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from narrows.server.vertical.top import Learner
from narrows.sharing.decoding import Decoder
from narrows.sharing.fixed_point import dequantise
from narrows.sharing.party import RoundShare, compute, share_round, share_table
from narrows.simulations.vertical.datasets import load_vertical
from narrows.simulations.vertical.stragglers import Round
from narrows.simulations.vertical.straggling import SETTINGS, Asked, terms_of
from narrows.simulations.vertical.system import PlainSums, SharedSums, begin, centralised, train

N, EVERYBODY = 6, frozenset(range(6))


def setup(factors=1, epochs=1, records=120):
    asked = Asked(None, ("breast_cancer",), (N,), ("none",), 1, 1, factors, 0, 50, 10, epochs,
                  records, 1)  # fmt: skip
    data = load_vertical("breast_cancer", N, records=records)
    return terms_of(asked, data, SETTINGS["breast_cancer"], 0), data


def rounds(terms, here=EVERYBODY, late=frozenset()):
    """here: who answers; late: whose weights are shared in every other round only."""
    return [
        Round(float(i), EVERYBODY - (late if i % 2 else frozenset()), here)
        for i in range(len(terms.schedule))
    ]


class OnShares(SharedSums):
    """The same on shares: each round's responses, as evaluators compute them from what they hold.

    The sum is decoded from those that are here, and from no others.
    """

    def __init__(self, terms, data, parties):
        super().__init__(terms, parties)
        self.terms, self.parties = terms, parties
        self.tables = [share_table(terms, part) for part in data.parts]
        self.decoder = Decoder(terms.code)
        self.kept = {}

    def total(self, rows, round):
        for holder in round.shared:
            texts = share_round(self.terms, self.parties[holder].network.weights, len(rows))
            self.kept[holder] = texts, len(rows)
        responses = {m: self.response(m, rows, round.shared) for m in round.here}
        sums = self.decoder.decode(responses, (len(rows), self.terms.width)).sums
        bounds = self.terms.bounds
        reals = dequantise(sums, bounds.scale_bits, bounds.parameters.prime)
        return reals.reshape(-1, self.terms.width)

    def response(self, m, rows, fresh):
        shares = []
        for holder in range(N):
            texts, then = self.kept[holder]
            share = RoundShare.decode(texts[m], self.terms, holder, then)
            shares.append(share if holder in fresh else RoundShare(share.weights, None))
        return compute(self.terms, [table[m] for table in self.tables], shares, rows)


def learnt(terms, data, kind, those, steps):
    parties = begin(terms, data)
    sums = kind(terms, data, parties) if kind is OnShares else kind(terms, parties)
    learner = Learner(terms.width, 2, (32,), 0.003, 0)
    train(terms, data, learner, parties, sums, those[:steps])
    tops = [p.detach().numpy() for p in learner.top.parameters()]
    return [party.network.weights for party in parties] + tops


def assert_the_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("factors", [1, 2])
def test_what_is_learnt_on_shares_is_learnt_in_the_clear_to_the_bit(factors):
    terms, data = setup(factors)
    those = rounds(terms)
    assert_the_same(
        learnt(terms, data, OnShares, those, 4), learnt(terms, data, SharedSums, those, 4)
    )


def test_late_weights_are_in_the_sum_as_they_were_shared_last():
    terms, data = setup()
    those = rounds(terms, late=frozenset({2, 5}))
    late = learnt(terms, data, OnShares, those, 4)
    assert_the_same(late, learnt(terms, data, SharedSums, those, 4))
    fresh = learnt(terms, data, SharedSums, rounds(terms), 4)
    assert not np.array_equal(late[0], fresh[0])


@pytest.mark.parametrize("missing", [{0}, {3}, {5}])
def test_whoever_does_not_answer_the_same_is_learnt_to_the_bit(missing):
    terms, data = setup()
    assert len(EVERYBODY - missing) == terms.wanted
    assert_the_same(
        learnt(terms, data, OnShares, rounds(terms, EVERYBODY - missing), 3),
        learnt(terms, data, OnShares, rounds(terms), 3),
    )


def test_integers_too_large_for_float64_are_exact_too():
    terms, data = setup()
    one = begin(terms, data)[0]
    rows, weights = np.arange(5), one.share()
    exact = one.integers(rows, weights)
    one._exact = False
    np.testing.assert_array_equal(one.integers(rows, weights), exact)


def test_secret_shares_learn_as_one_network_over_all_columns_does():
    terms, data = setup(epochs=10, records=569)
    parties = begin(terms, data)
    learner = Learner(terms.width, 2, (32,), 0.003, 0)
    ours = train(terms, data, learner, parties, SharedSums(terms, parties), rounds(terms))
    learner = Learner(terms.width, 2, (32,), 0.003, 0)
    central = centralised(terms, data, learner, begin(terms, data))
    assert [e.loss for e in ours] == pytest.approx([e.loss for e in central], rel=0.02)
    assert abs(ours[-1].accuracy - central[-1].accuracy) <= 0.01
    assert ours[-1].accuracy > 0.93


def test_dropped_parts_are_zero_and_only_those_here_learn():
    terms, data = setup()
    parties, here = begin(terms, data), frozenset({0, 1})
    before = [party.network.weights.copy() for party in parties]
    sums = PlainSums(terms, parties, "drop")
    rows = np.arange(3)
    expected = sum(p.network.outputs(p.table(rows)) for p in parties[:2])
    np.testing.assert_allclose(sums.total(rows, Round(0.0, EVERYBODY, here)), expected, atol=1e-5)
    learner = Learner(terms.width, 2, (32,), 0.003, 0)
    train(terms, data, learner, parties, sums, rounds(terms, here)[:2])
    changed = [
        not np.array_equal(b, p.network.weights) for b, p in zip(before, parties, strict=True)
    ]
    assert changed == [True, True, False, False, False, False]


def test_a_round_that_never_ends_ends_the_training():
    terms, data = setup(epochs=3)
    those = rounds(terms)
    per_epoch = len(those) // 3
    those[per_epoch + 1] = Round(np.inf, EVERYBODY, frozenset())
    parties = begin(terms, data)
    learner = Learner(terms.width, 2, (32,), 0.003, 0)
    assert len(train(terms, data, learner, parties, SharedSums(terms, parties), those)) == 1
