"""What a party computes on the shares it holds: polynomials, since shares only add and multiply.

The local model is a product of F linear maps, f(X) = (X W_1) * ... * (X W_F) elementwise: F = 1 is
a linear layer, of degree D = 2 in data and weights together, F = 2 the quadratic polynomial
network, D = 4. A bias is a column of ones in X.
"""

from collections.abc import Iterable

import numpy as np

from narrows.sharing import field
from narrows.sharing.field import Field


def degree_of(factors: int) -> int:
    """D = 2F: each linear map multiplies a share of data by a share of weights."""
    return 2 * factors


def evaluate(data: Field, weights: Field, p: int) -> Field:
    """f on plain residues or on shares alike: (rows, d), (F, d, e) to (rows, e)."""
    result = field.matmul(data, weights[0], p)
    for factor in weights[1:]:
        result = field.multiply(result, field.matmul(data, factor, p), p)
    return result


def respond(
    data_shares: Iterable[Field],
    weight_shares: Iterable[Field],
    zero_shares: Iterable[Field],
    p: int,
) -> Field:
    """A party's response: the sum over all holders of f on their shares, and of their zero-masks.

    One of each per holder, in the same order: data (rows, d_n), weights (F, d_n, e), zero-mask
    (rows, e). Returns (rows, e), the only thing of a round that the server is sent.

    Raises:
        ValueError: not as many data shares, weight shares and zero-masks.
    """
    total = np.zeros((), np.uint64)
    for data, weights, zero in zip(data_shares, weight_shares, zero_shares, strict=True):
        total = field.add(total, field.add(evaluate(data, weights, p), zero, p), p)
    return total
