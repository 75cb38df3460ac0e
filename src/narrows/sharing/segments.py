"""A table's rows as K segments of equal height: a round computes on row r of all K at once."""

import numpy as np

from narrows.sharing.field import Field


def split_rows(table: Field, segments: int) -> Field:
    """(M, d) to (K, ceil(M/K), d): consecutive rows, the last segment filled up with zeros."""
    rows = -(-table.shape[0] // segments)
    padding = np.zeros((segments * rows - table.shape[0], table.shape[1]), table.dtype)
    padded: Field = np.concatenate([table, padding])
    return padded.reshape(segments, rows, table.shape[1])


def join_rows(segments: Field, rows: int) -> Field:
    """The inverse: (K, height, e) to (rows, e), without what was filled up."""
    return segments.reshape(-1, segments.shape[2])[:rows]
