"""From the operating system's generator: elements of F_p, what masks are made of, and orders."""

import os
from math import prod

import numpy as np
from numpy.typing import NDArray

from narrows.sharing.field import Field


def uniform(shape: tuple[int, ...], p: int) -> Field:
    """uint64 of that shape, each entry independent and uniform in [0, p).

    p.bit_length() random bits at a time, drawn again where they are not below p: rejection, since
    a remainder would favour small elements. At most half of the draws are rejected.
    """
    wanted, kept = prod(shape), np.empty(0, np.uint64)
    while kept.size < wanted:
        drawn = np.frombuffer(os.urandom(8 * (wanted - kept.size)), np.uint64)
        drawn = drawn & np.uint64((1 << p.bit_length()) - 1)
        kept = np.concatenate([kept, drawn[drawn < p]])
    return kept.reshape(shape)


def permutation(size: int) -> NDArray[np.int64]:
    """The numbers below `size` in an order drawn uniformly from all.

    Sorted by 128 random bits each: two equal ones, which would stay in order, do not happen.
    """
    keys = np.frombuffer(os.urandom(16 * size), np.uint64).reshape(2, size)
    order: NDArray[np.int64] = np.lexsort(keys).astype(np.int64)
    return order
