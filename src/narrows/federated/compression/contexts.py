"""Which numbers of a tensor are likely to change: groups that both ends find by themselves.

A number that has moved before moves again, and so do those of its row and column. Groups are told
from how far each has moved since the run's first model, in integers, so that they are the same on
every machine.
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]

GROUPS = 6
FEWEST_GROUPED = 2048  # numbers; a smaller tensor is one group
FARTHEST = 15  # of a number's own moves, so that one that ran away does not hide its row


def groups(moved: Integers, rows: int) -> NDArray[np.uint8]:
    """int32 (n,), a matrix of `rows` rows -> the group of each, 0 (quiet) to GROUPS - 1."""
    if moved.size < FEWEST_GROUPED or not moved.any():
        return np.zeros(moved.size, np.uint8)
    shift = max(0, int(np.median(np.abs(moved[moved != 0]))).bit_length() - 2)
    own = np.minimum(np.abs(moved) >> shift, FARTHEST).astype(np.int64).reshape(rows, -1)
    own += (moved != 0).reshape(own.shape)
    total, by_row, by_column = own.sum(), own.sum(1), own.sum(0)
    # A number's expected activity is its row's times its column's over the total's.
    score = (own * total + 4 * by_row[:, None] * by_column[None, :]).ravel()
    places = score.size - (score.size >> np.arange(1, GROUPS))  # halves, quarters, ...
    bounds = np.partition(score, places)[places]
    return np.searchsorted(bounds, score, side="right").astype(np.uint8)
