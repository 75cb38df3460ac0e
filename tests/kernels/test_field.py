"""Every instruction set, and the limbs, multiply as Python's integers do."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.kernels import coder, field
from narrows.kernels.field import limbs

PRIMES = (field.P31, field.P61)
each_prime = pytest.mark.parametrize("p", PRIMES, ids=lambda p: f"p{p.bit_length()}")
ISAS = coder.instruction_sets()
WAYS = {isa: lambda a, b, p, isa=isa: field.matmul(a, b, p, isa=isa) for isa in ISAS}
WAYS["limbs"] = field.matmul_limbs
each_way = pytest.mark.parametrize("way", WAYS)
# Folds come after 4, 8 and 64 products, blocks end at 128, floats at 2,048.
DEPTHS = (1, 3, 4, 5, 7, 8, 9, 63, 64, 65, 127, 128, 129, 257, 2047, 2048, 2049)


def exact(a, b, p):
    return (a.astype(object) @ b.astype(object) % p).astype(np.uint64)


def uniform(shape, p, seed=0):
    return np.random.default_rng(seed).integers(0, p, shape, np.uint64)


def extremes(p):
    """Residues whose digits are as large as they come, on either side."""
    half, digit = p // 2, 2**30
    return sorted({0, 1, p - 1, half, half + 1, digit - 1, digit, (half + digit) % p, p - digit})


@each_prime
@each_way
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (2, 3, 5), (5, 128, 31), (6, 17, 32), (7, 129, 33), (193, 9, 3), (3, 9, 515),
     (200, 140, 270)],
    ids=str,
)  # fmt: skip
def test_random_matrices_of_all_tails(way, p, shape):
    m, k, n = shape
    a, b = uniform((m, k), p, 1), uniform((k, n), p, 2)
    found = WAYS[way](a, b, p)
    assert found.dtype == np.uint64
    assert np.array_equal(found, exact(a, b, p))


@each_prime
@each_way
@pytest.mark.parametrize("depth", DEPTHS)
def test_no_sum_overflows_however_large_its_terms(way, p, depth):
    values = np.array(extremes(p), np.uint64)
    a = np.repeat(values[:, None], depth, axis=1)
    found = WAYS[way](a, a.T, p)
    assert np.array_equal(found, exact(a, a.T, p))


@each_prime
@each_way
def test_terms_that_alternate_in_size(way, p):
    rng = np.random.default_rng(5)
    a = rng.choice(np.array(extremes(p), np.uint64), (13, 400))
    b = rng.choice(np.array(extremes(p), np.uint64), (400, 37))
    assert np.array_equal(WAYS[way](a, b, p), exact(a, b, p))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(0, 40), st.integers(0, 70), st.sampled_from(PRIMES))
def test_all_ways_agree_on_any_shape(m, k, n, p):
    a, b = uniform((m, k), p, 1), uniform((k, n), p, 2)
    expected = exact(a, b, p) if k else np.zeros((m, n), np.uint64)
    for way in WAYS.values():
        found = way(a, b, p)
        assert found.shape == (m, n)
        assert np.array_equal(found, expected)


@each_prime
@each_way
def test_views_of_larger_matrices_are_read_right(way, p):
    a, b = uniform((40, 60), p, 3), uniform((90, 50), p, 4)
    for left, right in (
        (a[3:20, 5:50], b[20:65, 7:]),
        (a[::2, ::2], b[::-3]),
        (a.T, b[:40]),
        (np.broadcast_to(a[:1], (4, 60)), np.asfortranarray(b[:60])),
    ):
        found = WAYS[way](left, right, p)
        assert np.array_equal(found, exact(left, right, p))


def test_unaligned_matrices_are_read():
    entries = uniform((9, 11), field.P61)
    shifted = np.frombuffer(b"." + entries.tobytes(), np.uint8)[1:].view(np.uint64).reshape(9, 11)
    product = field.matmul(shifted, entries.T, field.P61)
    assert np.array_equal(product, exact(entries, entries.T, field.P61))


@each_prime
@pytest.mark.parametrize("threads", [2, 3, 50])
@pytest.mark.parametrize("shape", [(5, 30, 700), (300, 30, 7), (2, 2, 2)], ids=str)
def test_threads_change_nothing(p, threads, shape):
    m, k, n = shape
    a, b = uniform((m, k), p, 1), uniform((k, n), p, 2)
    assert np.array_equal(field.matmul(a, b, p, threads), field.matmul(a, b, p))


def test_several_python_threads_multiply_at_once():
    a, b = uniform((70, 90), field.P61, 1), uniform((90, 110), field.P61, 2)
    expected, found = exact(a, b, field.P61), []
    workers = [
        threading.Thread(target=lambda: found.append(field.matmul(a, b, field.P61, 2)))
        for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 6
    assert all(np.array_equal(product, expected) for product in found)


def test_a_residue_times_its_inverse_is_one():
    for p in PRIMES:
        x = uniform((1, 1), p, 9) | np.uint64(1)
        inverse = np.array([[pow(int(x[0, 0]), -1, p)]], np.uint64)
        assert field.matmul(x, inverse, p) == 1


GOOD = np.zeros((2, 3), np.uint64)


@pytest.mark.parametrize("multiply", [field.matmul, field.matmul_limbs])
@pytest.mark.parametrize(
    ("a", "b", "p", "message"),
    [
        (GOOD, GOOD.T, 7, r"p to be 2\^31 - 1 or 2\^61 - 1, got 7"),
        (GOOD.astype(np.int64), GOOD.T, field.P61, r"a uint64 matrix, got int64 \(2, 3\)"),
        (GOOD, GOOD.T.astype(float), field.P61, r"a uint64 matrix, got float64 \(3, 2\)"),
        (GOOD, GOOD[0], field.P61, r"a uint64 matrix, got uint64 \(3,\)"),
        (GOOD, GOOD, field.P61, r"\(m, k\) by \(k, n\), got \(2, 3\) by \(2, 3\)"),
    ],
)
def test_factors_that_do_not_fit_are_named(multiply, a, b, p, message):
    with pytest.raises(ValueError, match=message):
        multiply(a, b, p)


@each_prime
@each_way
@pytest.mark.parametrize("wrong", [0, 1, 2**64 - 1], ids=["p", "p + 1", "largest"])
@pytest.mark.parametrize("place", [(0, 0), (8, 40), (3, 17)], ids=str)
def test_an_entry_that_is_no_residue_is_named(way, p, wrong, place):
    a = uniform((9, 41), p)
    entry = wrong if wrong > 1 else p + wrong
    bad = a.copy()
    bad[place] = entry
    for factors in ((bad, a.T), (a, bad.T)):
        with pytest.raises(ValueError, match=f"expected entries below {p}, got {entry}"):
            WAYS[way](*factors, p)


def test_entries_are_checked_where_nothing_is_multiplied():
    empty, bad = np.zeros((0, 2), np.uint64), np.full((2, 3), field.P61, np.uint64)
    with pytest.raises(ValueError, match="expected entries below"):
        field.matmul(empty, bad, field.P61)


def test_less_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="at least one thread, got 0"):
        field.matmul(GOOD, GOOD.T, field.P61, 0)


def test_the_limbs_take_their_columns_by_parts(monkeypatch):
    monkeypatch.setattr(limbs, "TOGETHER", 100)
    a, b = uniform((3, 40), field.P61, 1), uniform((40, 11), field.P61, 2)
    assert np.array_equal(field.matmul_limbs(a, b, field.P61), exact(a, b, field.P61))


def test_without_the_extension_limbs_are_used():
    code = (
        "import sys; sys.modules['narrows.kernels._native'] = None\n"
        "import numpy as np; from narrows.kernels import coder, field\n"
        "assert coder.BACKEND == 'reference'\n"
        "a = np.full((3, 5), field.P61 - 1, np.uint64)\n"
        "print(field.matmul(a, a.T, field.P61, threads=2).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str([[5] * 3] * 3), done.stderr
