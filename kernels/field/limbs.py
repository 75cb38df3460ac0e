"""The field product in numpy: limbs of 21 bits, whose products BLAS sums exactly in float64.

A product of limbs is below 2^42, a sum of 2,048 of them below 2^53: floats hold it exactly, and
deeper products are summed by parts. 2^bits is 1, so that a limb's weight is a rotation.
"""

import numpy as np
from numpy.typing import NDArray

LIMB_BITS = 21
DEEPEST = 2048  # products of limbs in a float64, exactly: 2^(53 - 2 LIMB_BITS)
TOGETHER = 1 << 18  # entries of the right factor whose limbs are made at once

Field = NDArray[np.uint64]


def product(a: Field, b: Field, bits: int) -> Field:
    """uint64 (m, k) by (k, n), entries below p = 2^bits - 1 -> uint64 (m, n), below p."""
    depth, columns = b.shape
    out = np.zeros((a.shape[0], columns), np.uint64)
    for start in range(0, depth, DEEPEST):
        left = _limbs(a[:, start : start + DEEPEST], bits)
        width = max(1, TOGETHER // left.shape[2])
        for first in range(0, columns, width):
            right = _limbs(b[start : start + DEEPEST, first : first + width], bits)
            part = out[:, first : first + width]
            part[:] = _residues(part + _weighted(left, right, bits), bits)
    return out


def _weighted(left: NDArray[np.float64], right: NDArray[np.float64], bits: int) -> Field:
    """The limbs' products by their weights: congruent to the whole, at most 5 p."""
    limbs, shape = len(left), (left.shape[1], right.shape[2])
    by_weight = np.zeros((2 * limbs - 1, *shape), np.uint64)
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            by_weight[i + j] += (x @ y).astype(np.uint64)
    total = np.zeros(shape, np.uint64)
    for weight, sums in enumerate(by_weight):  # a sum is below 3 2^53
        total += _rotated(_residues(sums, bits), LIMB_BITS * weight % bits, bits)
    return total


def _limbs(entries: Field, bits: int) -> NDArray[np.float64]:
    """(...) -> float64 (limbs, ...), the lowest first."""
    shifts = range(0, bits, LIMB_BITS)
    mask = np.uint64((1 << LIMB_BITS) - 1)
    return np.stack([(entries >> np.uint64(s) & mask).astype(np.float64) for s in shifts])


def _residues(x: Field, bits: int) -> Field:
    """Below p, for x below 2^63."""
    p = np.uint64((1 << bits) - 1)
    for _ in range(2):
        x = (x & p) + (x >> np.uint64(bits))
    return np.where(x >= p, x - p, x)


def _rotated(x: Field, shift: int, bits: int) -> Field:
    """x 2^shift modulo p, at most p."""
    p = np.uint64((1 << bits) - 1)
    return (x << np.uint64(shift) & p) | x >> np.uint64(bits - shift)
