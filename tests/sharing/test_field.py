"""Field arithmetic against Python's integers."""

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.sharing import field
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.randomness import uniform

PRIMES = [MERSENNE_61, MERSENNE_31, 65521, 7, 3]
EDGES = [0, 1, 2, 3, (1 << 21) - 1, 1 << 29, 1 << 32, (1 << 42) + 5]


def elements(p: int) -> st.SearchStrategy[int]:
    near_edges = [e % p for e in EDGES] + [p - 1, p - 2, p // 2, p // 2 + 1]
    return st.integers(0, p - 1) | st.sampled_from(near_edges)


def array(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


@pytest.mark.parametrize("p", PRIMES)
@settings(deadline=None)
@given(data=st.data())
def test_elementwise_operations_are_those_of_the_integers(p, data):
    a, b = data.draw(elements(p)), data.draw(elements(p))
    exponent = data.draw(st.integers(0, 1 << 20))
    assert field.add(array(a), array(b), p) == (a + b) % p
    assert field.subtract(array(a), array(b), p) == (a - b) % p
    assert field.multiply(array(a), array(b), p) == a * b % p
    assert field.power(array(a), exponent, p) == pow(a, exponent, p)
    if a:
        assert field.inverse(array(a), p) == pow(a, -1, p)


@pytest.mark.parametrize("p", PRIMES)
@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3), (7,), (33, 5)])
def test_inverses_of_any_number_of_elements(p, shape):
    a = uniform(shape, p - 1) + np.uint64(1)
    inverses = field.inverse(a, p)
    assert inverses.shape == shape
    assert (field.multiply(a, inverses, p) == 1).all()


@pytest.mark.parametrize("p", PRIMES)
def test_zero_has_no_inverse(p):
    with pytest.raises(ValueError, match="not invertible"):
        field.inverse(array(1, 0, 2), p)


@pytest.mark.parametrize("p", PRIMES)
def test_products_of_all_edges_are_exact(p):
    values = sorted({e % p for e in EDGES} | {p - 1, p - 2, p // 2})
    expected = [[a * b % p for b in values] for a in values]
    column = array(*values)
    assert field.multiply(column[:, None], column[None, :], p).tolist() == expected


@pytest.mark.parametrize("p", PRIMES)
@settings(deadline=None, max_examples=20)
@given(m=st.integers(1, 5), k=st.integers(1, 9), n=st.integers(1, 5), data=st.data())
def test_matrix_product_is_that_of_the_integers(p, m, k, n, data):
    draw = st.lists(elements(p), min_size=m * k + k * n, max_size=m * k + k * n)
    entries = np.array(data.draw(draw), object)
    a, b = entries[: m * k].reshape(m, k), entries[m * k :].reshape(k, n)
    product = field.matmul(a.astype(np.uint64), b.astype(np.uint64), p)
    assert product.tolist() == ((a @ b) % p).tolist()


@pytest.mark.parametrize("p", [MERSENNE_61, MERSENNE_31])
@pytest.mark.parametrize("k", [2047, 2048, 2049, 5000])
def test_matrix_product_of_the_largest_elements_is_exact_at_any_inner_size(p, k):
    largest = np.full((1, k), p - 1, np.uint64)
    assert field.matmul(largest, largest.T, p) == k % p  # (-1) * (-1), k times


@pytest.mark.parametrize("p", PRIMES)
@pytest.mark.parametrize("columns", [1, 2, 5, 8])
def test_sums_and_products_over_an_axis(p, columns):
    a = uniform((6, columns), p)
    rows = a.tolist()
    assert field.total(a, p).tolist() == [sum(column) % p for column in zip(*rows, strict=True)]
    assert field.product(a, p).tolist() == [prod(row) % p for row in rows]


@pytest.mark.parametrize("p", PRIMES)
def test_random_elements_are_below_the_prime(p):
    assert (uniform((1000,), p) < p).all()


def test_random_elements_of_a_small_field_are_uniform():
    counts = np.bincount(uniform((70_000,), 7).astype(np.int64), minlength=7)
    chi_square = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi_square < 50  # 6 degrees of freedom: passed by chance but once in 2e8 runs


def test_consecutive_draws_differ():
    assert not np.array_equal(uniform((4,), MERSENNE_61), uniform((4,), MERSENNE_61))


@pytest.mark.parametrize("p", [0, 1, 2, 4, 9, 65519 * 3, (1 << 61) + 1, 1 << 31])
def test_other_moduli_are_refused(p):
    with pytest.raises(ConfigError, match="prime"):
        field.check_prime(p)
