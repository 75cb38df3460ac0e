"""Lagrange interpolation in F_p as a matrix: values at some points to values at others."""

import numpy as np

from narrows.sharing import field
from narrows.sharing.field import Field


def lagrange_matrix(sources: Field, targets: Field, p: int) -> Field:
    """L with L @ values = the values at `targets` of the polynomial of degree < m through them.

    sources: (m,) distinct. targets: (t,), none of them a source. Returns (t, m). L[i, j] is the
    j-th Lagrange polynomial at target i, in barycentric form (Berrut and Trefethen 2004):
    w_j * l(z) / (z - x_j), with l(z) = prod_j (z - x_j) and w_j = 1 / prod_{i != j} (x_j - x_i).
    """
    apart = field.subtract(sources[:, None], sources[None, :], p)
    np.fill_diagonal(apart, 1)
    distance = field.subtract(targets[:, None], sources[None, :], p)
    denominator = field.multiply(distance, field.product(apart, p)[None, :], p)
    numerator = field.product(distance, p)[:, None]
    return field.multiply(numerator, field.inverse(denominator, p), p)


def vanishing(roots: Field, at: Field, p: int) -> Field:
    """prod_k (z - root_k) at every z of `at`: (k,), (n,) to (n,)."""
    return field.product(field.subtract(at[:, None], roots[None, :], p), p)


def vandermonde(at: Field, columns: int, p: int) -> Field:
    """z**j for every z of `at` and j < columns: (n,) to (n, columns)."""
    return np.stack([field.power(at, j, p) for j in range(columns)], axis=1)
