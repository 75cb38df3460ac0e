"""The coordinator's labels: which class each record is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.errors import SourceError
from narrows.sharing.tables import read_columns

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Labels:
    """Records and their classes, in an order."""

    ids: list[str]
    classes: tuple[str, ...]  # sorted: by number where all are whole numbers
    indices: NDArray[np.int64]  # (records,) into the classes

    @classmethod
    def load(
        cls,
        path: Path,
        column: str,
        id_column: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> "Labels":
        """A column of class names or numbers. classes: those known before, of a trained network.

        Raises:
            SourceError: unlabelled records, fractions, an unknown class, or not 2 to 1000 classes.
            ConfigError: a column the file does not have.
        """
        read = read_columns(path, [column], id_column)
        numbers = read.numbers(column)
        if numbers is not None and (numbers % 1 != 0)[~np.isnan(numbers)].any():
            raise SourceError(
                f"{path}: column {column!r} has fractions: expected classes, names or whole numbers"
            )
        names = read.texts(column) if numbers is None else [_whole(n) for n in numbers.tolist()]
        if "" in names:
            raise SourceError(
                f"{path}: {names.count('')} of {len(names)} records have no {column!r}: leave "
                "them out"
            )
        known = _sorted(set(names)) if classes is None else tuple(classes)
        unknown = _sorted(set(names) - set(known))
        if unknown or not 2 <= len(known) <= MOST_CLASSES:
            raise SourceError(
                f"{path}: column {column!r}: expected 2 to {MOST_CLASSES} classes, found "
                f"{len(known)}, and {len(unknown)} unknown ones {list(unknown[:5])}"
            )
        index = {name: i for i, name in enumerate(known)}
        return cls(read.ids, known, np.array([index[name] for name in names], np.int64))

    def select(self, positions: Sequence[int]) -> "Labels":
        """These records, in this order."""
        order = np.asarray(positions, np.int64)
        return Labels([self.ids[i] for i in order], self.classes, self.indices[order])


def _whole(number: float) -> str:
    return "" if np.isnan(number) else str(int(number))


def _sorted(names: set[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(sorted(names), key=int))
    except ValueError:
        return tuple(sorted(names))
