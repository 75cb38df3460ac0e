"""Data sets whose columns are dealt out to parties: one that comes along, others from files.

A column of a table stays whole, with all it is coded as, at one party. Of several views each is
one party's; with more parties than views the widest are cut. Of images each party has some rows of
pixels. Records are in a seeded order, training ones first. Where the files do not say which records
are held out, it is a fifth of each class; where several are of one person, a fifth of the people.
"""

import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.edge.vertical.table import Table
from narrows.errors import ConfigError, SourceError
from narrows.sharing.fixed_point import Reals
from narrows.sharing.tables import Cells, Columns, read_columns

LIMIT = 8.0  # of values: what lies further out than 8 deviations is moved there
EMBEDDED, DIGITS = "breast_cancer", "digits"  # scikit-learn's own


@dataclass(frozen=True)
class VerticalData:
    """One set, of so many parties; records in the agreed order, those held out last."""

    name: str
    parts: list[Reals]  # (records, d_n) of each party: to scale by the training records
    labels: NDArray[np.int64]  # (records,) into the classes
    classes: tuple[str, ...]
    held_out: int
    tables: tuple[Table, ...] = ()  # each party's, not yet to scale, as it would bring them

    @property
    def records(self) -> int:
        return len(self.labels)

    @property
    def training(self) -> int:
        return self.records - self.held_out


@dataclass(frozen=True)
class _Set:
    """A set before it is dealt out."""

    cells: dict[str, Cells]
    views: list[list[str]]  # names of columns, in what belongs together
    labels: NDArray[np.str_]
    held_out: NDArray[np.bool_] | None = None
    people: NDArray[np.str_] | None = None


def load_vertical(
    name: str, parties: int, data: Path | None = None, records: int | None = None, seed: int = 0
) -> VerticalData:
    """One of `SETS`, of N parties. data: the folder of its file. records: so many at most.

    Raises:
        ConfigError: an unknown name, or more parties than the set has columns.
        SourceError: its file is not there, or cannot be read.
    """
    if name not in SETS:
        raise ConfigError(f"data set {name!r}: expected one of {', '.join(SETS)}")
    if name not in (EMBEDDED, DIGITS) and data is None:
        raise ConfigError(f"data set {name}: --data must name the folder that has its file")
    found = SETS[name](data or Path())
    held_out = _held_out(found, seed)
    order = np.random.default_rng(seed).permutation(len(held_out))
    train, rest = order[~held_out[order]], order[held_out[order]]
    if records is not None and records < len(order):
        kept = records * len(rest) // len(order)
        train, rest = train[: records - kept], rest[:kept]
    chosen = np.concatenate([train, rest])
    ids = [str(i) for i in range(len(order))]
    tables, known = [], [str(i) for i in range(len(chosen))]
    for names in _deal(name, found.views, parties):
        table = Table.of(Columns(name, ids, {n: found.cells[n] for n in names}))
        tables.append(replace(table.select(chosen.tolist()), ids=known))
    parts = [table.rescaled(len(train)).within(LIMIT) for table in tables]
    classes, labels = np.unique(found.labels, return_inverse=True)
    return VerticalData(
        name, parts, labels[chosen].astype(np.int64), (*map(str, classes),), len(rest), (*tables,)
    )


def _held_out(found: _Set, seed: int) -> NDArray[np.bool_]:
    if found.held_out is not None:
        return found.held_out
    who = np.arange(len(found.labels)) if found.people is None else found.people
    rng = np.random.default_rng([seed, 1])
    chosen = []
    for label in np.unique(found.labels):
        people = np.unique(who[found.labels == label])
        chosen.append(rng.permutation(people)[: round(len(people) / 5)])
    return np.isin(who, np.concatenate(chosen))


def _deal(name: str, views: list[list[str]], parties: int) -> list[list[str]]:
    """Neighbouring views to a party, or the widest view halved until there are enough."""
    columns = sum(map(len, views))
    if not 1 <= parties <= columns:
        raise ConfigError(f"{name} has {columns} columns: expected 1 to {columns} parties")
    if parties <= len(views):
        dealt = np.array_split(np.arange(len(views)), parties)
        return [[column for i in some for column in views[i]] for some in dealt]
    views = list(views)
    while len(views) < parties:
        widest = max(range(len(views)), key=lambda i: len(views[i]))
        half = len(views[widest]) // 2
        views[widest : widest + 1] = views[widest][:half], views[widest][half:]
    return views


def _breast_cancer(_: Path) -> _Set:
    return _embedded("load_breast_cancer")


def _digits(_: Path) -> _Set:
    return _embedded("load_digits")


def _embedded(loader: str) -> _Set:
    try:
        import sklearn.datasets
    except ImportError:
        raise ConfigError("it comes with scikit-learn: pip install 'narrows[server]'") from None
    found = getattr(sklearn.datasets, loader)()
    cells: dict[str, Cells] = {
        str(name): column
        for name, column in zip(found.feature_names, found.data.T, strict=True)
        if column.min() < column.max()  # digits has pixels that are always white
    }
    return _Set(cells, [[name] for name in cells], found.target_names[found.target].astype(str))


def _tabular(
    name: str, label: str, left_out: Sequence[str] = (), people: str | None = None
) -> Callable[[Path], _Set]:
    def load(folder: Path) -> _Set:
        archive = _file(folder, "tabular.tar")
        with tempfile.TemporaryDirectory() as unpacked:
            path = Path(unpacked) / f"{name}.csv.gz"
            try:
                with tarfile.open(archive) as tar:
                    member = tar.extractfile(f"{name}.csv.gz")
                    path.write_bytes(member.read() if member else b"")
            except (OSError, KeyError, tarfile.TarError) as error:
                raise SourceError(f"{archive}: no {name}.csv.gz: {error}") from None
            read = read_columns(path, None, None)
        aside = {label, "split", people, *left_out}
        names = [column for column in read.cells if column not in aside]
        return _Set(
            {n: read.cells[n] for n in names},
            [[n] for n in names],
            np.array(read.texts(label)),
            np.array(read.texts("split")) == "test" if "split" in read.cells else None,
            np.array(read.texts(people)) if people else None,
        )

    return load


def _views(file: str, label: str, names: Sequence[str]) -> Callable[[Path], _Set]:
    def load(folder: Path) -> _Set:
        read = read_columns(_file(folder, file), [*names, label], None)
        labels = np.array(read.texts(label))
        views = [[c for c in read.cells if c.startswith(f"{name}/")] for name in names]
        return _Set({c: read.cells[c] for view in views for c in view}, views, labels)

    return load


def _fashion(folder: Path) -> _Set:
    path = _file(folder, "fashion_mnist.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            images = np.concatenate([file["x_train"], file["x_test"]])
            labels = np.concatenate([file["y_train"], file["y_test"]])
            names, training = file["classes"], len(file["y_train"])
    except (OSError, KeyError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    rows = [[f"{y}/{x}" for x in range(28)] for y in range(28)]
    pixels = images.reshape(len(images), -1).T.astype(np.float64)
    cells: dict[str, Cells] = dict(zip([c for row in rows for c in row], pixels, strict=True))
    return _Set(cells, rows, names[labels], np.arange(len(labels)) >= training)


def _file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise SourceError(f"{folder}: expected a folder with {name}")
    return folder / name


MFEAT = ("fou", "fac", "kar", "pix", "zer", "mor")
CALTECH7 = ("gabor", "wavelet_moments", "centrist", "hog", "gist", "lbp")
SETS: dict[str, Callable[[Path], _Set]] = {
    EMBEDDED: _breast_cancer,
    DIGITS: _digits,
    "credit_default": _tabular("credit_default", "Y", ["ID"]),
    "adult": _tabular("adult", "Y"),
    "bank_marketing": _tabular("bank_marketing", "y"),
    "parkinsons": _tabular("parkinsons", "status", ["name"], "subject"),
    "compas": _tabular("compas", "two_year_recid", ["is_recid"]),  # which nearly is the label
    "mfeat": _views("mfeat_multiview.npz", "y", MFEAT),
    "caltech7": _views("caltech7_multiview.npz", "y", CALTECH7),
    "fashion": _fashion,
}
