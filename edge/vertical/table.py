"""A party's own columns: read, coded as numbers, and brought to one scale.

Text becomes one column per different text, missing text being one of them. A missing number
becomes its column's mean, a column that is the same everywhere is left out, and every column is
brought to zero mean and unit variance. What is then beyond the session's range is moved to its
ends (winsorised): shares of larger numbers could not be proved to add up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from narrows.errors import ConfigError, SourceError
from narrows.sharing.fixed_point import Reals
from narrows.sharing.tables import MAX_CELLS, Columns, read_columns

MOST_TEXTS = 64


@dataclass(frozen=True)
class Column:
    """How one column of a file becomes one or more of the table."""

    name: str
    texts: tuple[str, ...] | None  # sorted; None: it holds numbers
    means: tuple[float, ...]  # one, or one per text
    deviations: tuple[float, ...]

    def __post_init__(self) -> None:
        width = 1 if self.texts is None else len(self.texts)
        scale = [*self.means, *self.deviations]
        if not (width == len(self.means) == len(self.deviations) > 0) or not (
            all(map(math.isfinite, scale)) and min(self.deviations) > 0
        ):
            raise ConfigError(
                f"column {self.name!r}: expected {width} finite means and positive deviations"
            )

    @property
    def names(self) -> list[str]:
        return [self.name] if self.texts is None else [f"{self.name}={t}" for t in self.texts]

    def coded(self, columns: Columns) -> Reals:
        """(records, width) of a file's column, not yet to scale; NaN: missing."""
        if self.texts is not None:
            places = {text: place for place, text in enumerate(self.texts)}
            coded = np.zeros((len(columns.ids), len(places)))
            for row, text in enumerate(columns.texts(self.name)):
                if text in places:
                    coded[row, places[text]] = 1.0
            return coded
        numbers = columns.numbers(self.name)
        if numbers is None:
            raise SourceError(f"{columns.source}: column {self.name!r} has text: expected numbers")
        return numbers[:, None]


@dataclass(frozen=True)
class Preparation:
    """What is done to a file's columns; kept with the weights for later files."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        if not self.columns or len({c.name for c in self.columns}) != len(self.columns):
            raise ConfigError("a preparation: expected one or more columns of different names")

    @classmethod
    def fit(cls, columns: Columns) -> "Preparation":
        """Raises: SourceError: nothing to learn from, or a column that cannot be one's."""
        fitted = [_fit(columns, name) for name in columns.cells]
        kept = tuple(column for column in fitted if column is not None)
        if not kept:
            raise SourceError(f"{columns.source}: every column is the same in all records")
        return cls(kept)

    @property
    def names(self) -> list[str]:
        """Of the table's columns: `column`, or `column=text`."""
        return [name for column in self.columns for name in column.names]

    def apply(self, columns: Columns) -> Reals:
        """(records, d), to scale. A text that was not there to fit is none of the known ones.

        Raises:
            SourceError: text where numbers were, or too large a table.
        """
        return self._scaled(self._coded(columns))

    def encode(self) -> bytes:
        """JSON."""
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def decode(cls, text: bytes) -> "Preparation":
        """Raises: ConfigError: no preparation."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConfigError(f"a table's preparation: {error}") from None

    def _coded(self, columns: Columns) -> Reals:
        if len(columns.ids) * len(self.names) > MAX_CELLS:
            raise SourceError(
                f"{columns.source}: {len(columns.ids)} records of {len(self.names)} columns, texts "
                f"told apart: at most {MAX_CELLS} cells: choose fewer columns"
            )
        return np.concatenate([column.coded(columns) for column in self.columns], axis=1)

    def _scaled(self, coded: Reals) -> Reals:
        means = np.array([mean for column in self.columns for mean in column.means])
        deviations = np.array([d for column in self.columns for d in column.deviations])
        return np.where(np.isnan(coded), 0.0, (coded - means) / deviations)

    def _rescaled(self, coded: Reals) -> "Preparation":
        """The same columns, means and deviations of these records."""
        means, deviations = _scale(coded)
        columns, at = [], 0
        for column in self.columns:
            here = slice(at, at + len(column.means))
            columns.append(replace(column, means=(*means[here],), deviations=(*deviations[here],)))
            at = here.stop
        return Preparation(tuple(columns))


@dataclass(frozen=True)
class Table:
    """Records of one party, in an order."""

    ids: list[str]
    coded: Reals  # (records, d): not to scale, NaN where missing
    preparation: Preparation

    @classmethod
    def load(
        cls, path: Path, columns: Sequence[str] | None = None, id_column: str | None = None
    ) -> "Table":
        """Columns of a file (None: all but the identifiers), prepared by all its records.

        Raises:
            SourceError, ConfigError: see `read_columns` and `Preparation.fit`.
        """
        return cls.of(read_columns(path, columns, id_column))

    @classmethod
    def of(cls, columns: Columns) -> "Table":
        """Raises: SourceError: see `Preparation.fit`."""
        preparation = Preparation.fit(columns)
        return cls(columns.ids, preparation._coded(columns), preparation)

    @classmethod
    def load_prepared(
        cls, path: Path, preparation: Preparation, id_column: str | None = None
    ) -> "Table":
        """Another file, prepared as the first was. Raises: SourceError, ConfigError."""
        read = read_columns(path, [column.name for column in preparation.columns], id_column)
        return cls(read.ids, preparation._coded(read), preparation)

    @property
    def names(self) -> list[str]:
        return self.preparation.names

    @cached_property
    def values(self) -> Reals:
        """(records, d), to scale."""
        return self.preparation._scaled(self.coded)

    def within(self, limit: float) -> Reals:
        """`values`, those beyond +-limit moved there."""
        return np.clip(self.values, -limit, limit)

    def select(self, positions: Sequence[int]) -> "Table":
        """These records, in this order."""
        order = np.asarray(positions, np.int64)
        return Table([self.ids[i] for i in order], self.coded[order], self.preparation)

    def rescaled(self, training: int) -> "Table":
        """Means and deviations of the first records alone, so that held-out ones decide nothing."""
        return replace(self, preparation=self.preparation._rescaled(self.coded[:training]))


def _fit(columns: Columns, name: str) -> Column | None:
    """None: the same everywhere, or missing."""
    numbers, texts = columns.numbers(name), None
    if numbers is None:
        texts = tuple(sorted(set(columns.texts(name))))
        if len(texts) > MOST_TEXTS:
            raise SourceError(
                f"{columns.source}: column {name!r} has {len(texts)} different texts, at most "
                f"{MOST_TEXTS} are told apart: choose columns without it"
            )
        if len(texts) == 1:
            return None
    elif not np.nanmax(numbers, initial=-np.inf) > np.nanmin(numbers, initial=np.inf):
        return None
    width = 1 if texts is None else len(texts)
    coded = Column(name, texts, (0.0,) * width, (1.0,) * width).coded(columns)
    means, deviations = _scale(coded)
    if not np.isfinite([means, deviations]).all():
        raise SourceError(f"{columns.source}: column {name!r}: numbers too large to bring to scale")
    return Column(name, texts, (*means,), (*deviations,))


def _scale(coded: Reals) -> tuple[list[float], list[float]]:
    """Means and deviations of columns; 0 and 1 of one without numbers, 1 of a constant one."""
    there = ~np.isnan(coded)
    counts = np.maximum(there.sum(0), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.where(there, coded, 0.0).sum(0) / counts
        deviations = np.sqrt(np.square(np.where(there, coded - means, 0.0)).sum(0) / counts)
    return means.tolist(), np.where(deviations == 0, 1.0, deviations).tolist()
