"""Arithmetic in F_p on uint64 arrays: every entry below p, every result exact and below p.

The primes of a session are 2**61-1 and 2**31-1 (both Mersenne). Primes below 2**16 are there so
that statements about all masks can be proved by counting every one of them.
"""

from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError
from narrows.kernels import field as kernel

Field = NDArray[np.uint64]

MERSENNE_61, MERSENNE_31 = kernel.P61, kernel.P31
SMALL = 1 << 16

_U = np.uint64


@lru_cache
def check_prime(p: int) -> None:
    """Raises: ConfigError: p is none of 2**61-1, 2**31-1 and the primes below 2**16."""
    if p in (MERSENNE_61, MERSENNE_31):
        return
    if not 2 < p < SMALL or any(p % q == 0 for q in range(2, isqrt(p) + 1)):
        raise ConfigError(
            f"prime {p}: expected 2**61-1, 2**31-1 or, for exhaustive proofs, a prime below 2**16"
        )


def matmul(a: Field, b: Field, p: int) -> Field:
    """a @ b mod p: (m, k) by (k, n) to (m, n)."""
    if p < SMALL:  # k < 2**32 products below 2**32: uint64 cannot wrap, and no kernel is needed
        return (a @ b) % _U(p)
    return kernel.matmul(a, b, p)


def add(a: Field, b: Field, p: int) -> Field:
    """a + b mod p, elementwise; below 2**62 before it is reduced."""
    return (a + b) % _U(p)


def subtract(a: Field, b: Field, p: int) -> Field:
    """a - b mod p, elementwise."""
    return (a + (_U(p) - b)) % _U(p)


def multiply(a: Field, b: Field, p: int) -> Field:
    """a * b mod p, elementwise."""
    return _multiply_61(a, b) if p == MERSENNE_61 else (a * b) % _U(p)


def power(base: Field, exponent: int, p: int) -> Field:
    """base ** exponent mod p, elementwise, exponent >= 0, by repeated squaring."""
    result = np.full(base.shape, 1, np.uint64)
    for bit in bin(exponent)[2:]:
        result = multiply(result, result, p)
        if bit == "1":
            result = multiply(result, base, p)
    return result


def inverse(a: Field, p: int) -> Field:
    """1 / a mod p, elementwise. Raises: ValueError: an entry is 0.

    Montgomery's trick as a tree: 1/x = y * 1/(xy) for each pair, so one inversion in Python's
    integers and about three products per entry do for all.
    """
    if a.size <= 1:
        return np.array([pow(x, -1, p) for x in a.ravel().tolist()], np.uint64).reshape(a.shape)
    flat = np.append(a, _U(1)) if a.size % 2 else a.ravel()
    pairs = flat.reshape(-1, 2)
    halves = inverse(multiply(pairs[:, 0], pairs[:, 1], p), p)
    return multiply(pairs[:, ::-1], halves[:, None], p).ravel()[: a.size].reshape(a.shape)


def product(a: Field, p: int) -> Field:
    """The product over the last axis: (..., n) to (...), n >= 1, pair by pair."""
    while a.shape[-1] > 1:
        pairs = multiply(a[..., 0:-1:2], a[..., 1::2], p)
        a = pairs if a.shape[-1] % 2 == 0 else np.concatenate([pairs, a[..., -1:]], axis=-1)
    return a[..., 0]


def total(a: Field, p: int) -> Field:
    """The sum over the first axis: (n, ...) to (...)."""
    result = np.zeros(a.shape[1:], np.uint64)
    for term in a:
        result = add(result, term, p)
    return result


def _multiply_61(a: Field, b: Field) -> Field:
    """Schoolbook in halves a = a1 * 2**32 + a0, folded by 2**61 = 1 and so 2**64 = 8.

    a1, b1 < 2**29: low < 2**64, middle < 2**62, high < 2**58, and what is summed at the end stays
    below 2**61 + 2**61 + 2**33 + 2**61 + 2**3 < 2**63.
    """
    half, p = _U(0xFFFFFFFF), _U(MERSENNE_61)
    a1, a0, b1, b0 = a >> _U(32), a & half, b >> _U(32), b & half
    low, middle, high = a0 * b0, a0 * b1 + a1 * b0, a1 * b1
    middle_low = (middle & _U((1 << 29) - 1)) << _U(32)
    folded = (low & p) + (low >> _U(61)) + middle_low + (middle >> _U(29)) + (high << _U(3))
    folded = (folded & p) + (folded >> _U(61))  # at most p + 3
    return np.where(folded >= p, folded - p, folded)
