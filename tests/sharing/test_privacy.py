"""Any T shares are uniform and say nothing of the data; T+1 shares do.

Exactly, by counting all masks of small fields, and statistically in the large one. The rule for
the 100 seeds: masks come from a seeded generator and are encoded as any others, so the p-values
are the same in every run, and every one must be at least 1e-4 (of 200 true hypotheses 0.02 are
expected below). For the operating system's masks, which no seed repeats, the least of m p-values
must be at least 1e-6 / m (Bonferroni): a sound build fails one run in a million.
"""

from itertools import combinations, product

import numpy as np
import pytest

from narrows.sharing.code import LagrangeCode
from narrows.sharing.field import MERSENNE_31, MERSENNE_61, Field
from narrows.sharing.parameters import SharingParameters

stats = pytest.importorskip("scipy.stats")

ELEMENTS = 1_000_000
CELLS = 1024


def all_masks(count: int, p: int) -> Field:
    return np.array(list(product(range(p), repeat=count)), np.uint64).T


def determinant(matrix: list[list[int]], p: int) -> int:
    """Laplace's expansion: small matrices only."""
    if not matrix:
        return 1
    return (
        sum(
            (-1) ** j * x * determinant([row[:j] + row[j + 1 :] for row in matrix[1:]], p)
            for j, x in enumerate(matrix[0])
        )
        % p
    )


@pytest.mark.parametrize("p", [MERSENNE_61, MERSENNE_31, 101])
@pytest.mark.parametrize("code", [(6, 2, 1, 2), (10, 2, 2, 2), (12, 2, 3, 2), (16, 3, 1, 4)])
def test_every_minor_of_the_mask_columns_is_invertible(code, p):
    code = LagrangeCode(SharingParameters(*code, p))
    columns = code.encoder[:, code.parameters.segments :].tolist()
    for rows in combinations(columns, code.parameters.privacy):
        assert determinant(list(rows), p) != 0


@pytest.mark.parametrize("replicated", [False, True])
@pytest.mark.parametrize("secrets", [(0, 0), (3, 8), (10, 1)])
def test_any_two_shares_are_exactly_uniform_over_all_masks_of_a_small_field(secrets, replicated):
    p = 11
    code = LagrangeCode(SharingParameters(5, 2, 2, 1, p))
    masks = all_masks(2, p)
    if replicated:
        shares = code.encode_replicated(np.full(p**2, secrets[0], np.uint64), masks)
    else:
        shares = code.encode_segments(np.repeat([secrets], p**2, 0).T.astype(np.uint64), masks)
    for a, b in combinations(shares, 2):
        assert (np.bincount((a * p + b).astype(np.int64), minlength=p**2) == 1).all()


def seeded_shares(code: LagrangeCode, seed: int, columns: int, scale: int = 1 << 16) -> Field:
    """Shares (N, columns) of small, very uneven data: integers near 0, as quantised tables are."""
    rng, p = np.random.default_rng(seed), code.parameters.prime
    data = rng.integers(0, scale, (code.parameters.segments, columns), np.uint64)
    return code.encode_segments(
        data, rng.integers(0, p, (code.parameters.privacy, columns), np.uint64)
    )


def p_values(held: Field, p: int) -> tuple[float, float]:
    """Of T shares (T, columns): chi-square of their joint cells, Kolmogorov-Smirnov of all."""
    side = round(CELLS ** (1 / len(held)))
    fractions = held.astype(np.float64) / p
    cell = np.zeros(held.shape[1], np.int64)
    for row in fractions:
        cell = cell * side + np.minimum((row * side).astype(np.int64), side - 1)
    chi_square = stats.chisquare(np.bincount(cell, minlength=side ** len(held))).pvalue
    return chi_square, kolmogorov_smirnov(np.sort(fractions, axis=None))


def kolmogorov_smirnov(ordered: np.ndarray) -> float:
    """As `scipy.stats.kstest` against the uniform, method="asymp", in a third of its time."""
    below = np.arange(len(ordered)) / len(ordered)
    distance = max((ordered - below).max(), (below - ordered).max() + 1 / len(ordered))
    return float(stats.kstwobign.sf(distance * len(ordered) ** 0.5))


# Who holds what does not depend on what is computed: D = 1 needs the fewest parties.
CODES = [SharingParameters(3, 2, 1, 1), SharingParameters(4, 2, 2, 1)]


def held_by(code: LagrangeCode, shares: Field, seed: int) -> Field:
    """The shares of T parties, other ones with every seed."""
    groups = list(combinations(range(len(shares)), code.parameters.privacy))
    return shares[list(groups[seed % len(groups)])]


@pytest.mark.parametrize("parameters", CODES)
def test_t_shares_are_uniform_over_a_million_elements(parameters):
    code = LagrangeCode(parameters)
    shares = seeded_shares(code, 0, ELEMENTS // parameters.privacy)
    assert min(p_values(held_by(code, shares, 0), parameters.prime)) >= 1e-4


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("parameters", CODES)
def test_t_shares_are_uniform_over_a_million_elements_with_a_hundred_seeds(parameters):
    code = LagrangeCode(parameters)
    least = 1.0
    for seed in range(100):
        shares = seeded_shares(code, seed, ELEMENTS // parameters.privacy)
        least = min(least, *p_values(held_by(code, shares, seed), parameters.prime))
    print(f"least of 200 p-values, {parameters}: {least:.2e}")
    assert least >= 1e-4


@pytest.mark.parametrize("parameters", CODES)
def test_t_shares_under_the_systems_masks_are_uniform(parameters):
    code = LagrangeCode(parameters)
    data = np.zeros((parameters.segments, ELEMENTS // parameters.privacy), np.uint64)
    groups = list(combinations(code.share_segments(data), parameters.privacy))[:5]
    values = [v for held in groups for v in p_values(np.stack(held), parameters.prime)]
    assert min(values) >= 1e-6 / len(values)


@pytest.mark.parametrize("parameters", CODES)
def test_t_shares_of_two_tables_are_one_distribution(parameters):
    code, columns = LagrangeCode(parameters), 200_000
    zeros = held_by(code, seeded_shares(code, 1, columns, scale=1), 1)
    large = held_by(code, seeded_shares(code, 2, columns, scale=1 << 60), 1)
    for one, other in zip(zeros, large, strict=True):
        same = stats.ks_2samp(one.astype(np.float64), other.astype(np.float64), method="asymp")
        assert same.pvalue >= 1e-4


@pytest.mark.parametrize("parameters", CODES)
def test_t_plus_one_shares_are_not_uniform_and_tell_tables_apart(parameters):
    """T+1 shares have a combination without masks; of small data it takes few values."""
    code, columns = LagrangeCode(parameters), 10_000
    p, t, k = parameters.prime, parameters.privacy, parameters.segments
    mask_columns = [row[k:] for row in code.encoder.tolist()[: t + 1]]
    # Cofactors along a column of zeros: orthogonal to every mask column.
    unmasking = np.array(
        [
            (-1) ** i * determinant(mask_columns[:i] + mask_columns[i + 1 :], p) % p
            for i in range(t + 1)
        ],
        object,
    )
    seen = {}
    for scale in (1, 4):
        shares = seeded_shares(code, scale, columns, scale)[: t + 1]
        seen[scale] = (unmasking @ shares.astype(object) % p).astype(np.uint64)
    assert len(set(seen[1].tolist())) == 1
    assert 1 < len(set(seen[4].tolist())) <= 4**k
    fractions = [seen[scale].astype(np.float64) / p for scale in (1, 4)]
    assert stats.ks_2samp(*fractions).pvalue < 1e-100
    assert stats.kstest(fractions[1], "uniform").pvalue < 1e-20
