"""Tables of records from files, as columns of numbers or text: .csv, .csv.gz, .parquet, .npz.

The same table gives the same columns from every format. A text file has a header, and a comma,
semicolon or tab between cells. In an NPZ file an array is a column, and a two-dimensional one a
view, whose columns are `name/0`, `name/1`, ... and which `name` alone means as a whole.
"""

import csv
import gzip
import io
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from narrows.errors import ConfigError, SourceError
from narrows.sharing.fixed_point import Reals

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})  # in lower case
MAX_CELLS = 1 << 26
MAX_COLUMNS = 1 << 17
MAX_BYTES = 1 << 30  # of a file's arrays
MAX_TEXT = 1 << 28  # characters of a text file, unpacked
LONGEST_ID = 200
SHOWN = 20  # names a message lists

Cells = Reals | list[str]


@dataclass(frozen=True)
class Columns:
    """A table as read, with NaN for a missing number and "" for missing text."""

    source: str
    ids: list[str]  # all different; the records' numbers where no column names them
    cells: dict[str, Cells]

    def numbers(self, name: str) -> Reals | None:
        """(records,) numbers of a column; None where it has other text.

        Raises:
            SourceError: an infinite one.
        """
        cells = self.cells[name]
        try:
            values = cells if isinstance(cells, np.ndarray) else np.array([*map(_number, cells)])
        except ValueError:
            return None
        if np.isinf(values).any():
            raise SourceError(f"{self.source}: column {name!r} has infinite numbers")
        return values

    def texts(self, name: str) -> list[str]:
        """A column as text; whole numbers without a point, as a text file has them."""
        cells = self.cells[name]
        return cells if isinstance(cells, list) else [_text(value) for value in cells.tolist()]


def read_columns(path: Path, chosen: Sequence[str] | None, id_column: str | None) -> Columns:
    """The chosen columns (None: all but the identifiers) of a file.

    Raises:
        SourceError: no table, too large a one, or identifiers that do not tell records apart.
        ConfigError: a column it does not have, or Parquet without pyarrow.
    """
    path = Path(path)
    readers = {".csv": _csv, ".csv.gz": _csv, ".parquet": _parquet, ".npz": _npz}
    reader = next((r for suffix, r in readers.items() if path.name.lower().endswith(suffix)), None)
    if reader is None:
        raise SourceError(f"{path}: expected a table, {', '.join(readers)}")
    if chosen is not None and (not chosen or id_column in chosen):
        raise ConfigError(
            f"columns {', '.join(chosen) or '(none)'}: expected one or more, and not {id_column!r} "
            "which names the records"
        )
    try:
        cells, records, ids = reader(path, chosen, id_column)
    except OSError as error:  # zipfile's and gzip's too
        raise SourceError(f"{path}: cannot be read: {error}") from None
    if not records:
        raise SourceError(f"{path}: a table without records")
    return Columns(str(path), _identifiers(path, ids, records), cells)


_Read = tuple[dict[str, Cells], int, list[str] | None]


def _csv(path: Path, chosen: Sequence[str] | None, id_column: str | None) -> _Read:
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            text = file.read(MAX_TEXT + 1)
    except (UnicodeDecodeError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: expected text in UTF-8: {error}") from None
    if len(text) > MAX_TEXT:
        raise SourceError(f"{path}: over {MAX_TEXT} characters: make it a Parquet or NPZ file")
    lines = csv.reader(io.StringIO(text), delimiter=_delimiter(text))
    try:
        names = [name.strip() for name in next(lines, [])]
        if not names or all(_is_number(name) for name in names):
            raise SourceError(f"{path}: expected a first line with the columns' names")
        _check_columns(path, len(names))
        picked = _pick(path, names, chosen, id_column)
        places = [names.index(name) for name in picked]
        found: list[list[str]] = [[] for _ in picked]
        for line in lines:
            if not line:
                continue
            if len(line) != len(names):
                raise SourceError(
                    f"{path}, line {lines.line_num}: {len(line)} cells, expected {len(names)}"
                )
            for column, place in zip(found, places, strict=True):
                column.append(line[place].strip())
            _check_size(path, len(found[0]), len(picked), 1)
    except csv.Error as error:
        raise SourceError(f"{path}, line {lines.line_num}: {error}") from None
    ids = found.pop() if id_column is not None else None
    cells: dict[str, Cells] = {}
    for name, column in zip(picked, found, strict=False):
        cells[name] = ["" if cell.lower() in MISSING else cell for cell in column]
    return cells, len(next(iter(cells.values()))), ids


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _parquet(path: Path, chosen: Sequence[str] | None, id_column: str | None) -> _Read:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(f"{path}: Parquet is read with pyarrow: pip install pyarrow") from None
    try:
        with parquet.ParquetFile(path) as file:
            picked = _pick(path, file.schema_arrow.names, chosen, id_column)
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            unpacked = sum(group.total_byte_size for group in groups)
            _check_size(path, file.metadata.num_rows, len(picked), 8, unpacked)
            table = file.read(columns=picked)
    except pyarrow.ArrowException as error:
        raise SourceError(f"{path}: no Parquet file: {error}") from None
    found = {name: _arrow_cells(path, name, table.column(name)) for name in picked}
    if id_column is None:
        return found, table.num_rows, None
    del found[id_column]
    column = table.column(id_column)
    if pyarrow.types.is_floating(column.type):
        raise SourceError(f"{path}: identifiers {id_column!r} are fractions: expected text")
    ids = ["" if value is None else str(value).strip() for value in column.to_pylist()]
    return found, table.num_rows, ids


def _arrow_cells(path: Path, name: str, column: Any) -> Cells:
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_boolean(kind):
        column, kind = column.cast("uint8"), "uint8"
    elif types.is_string(kind) or types.is_large_string(kind):
        texts = ["" if text is None else text.strip() for text in column.to_pylist()]
        return ["" if text.lower() in MISSING else text for text in texts]
    elif not any(
        is_kind(kind)
        for is_kind in (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
    ):
        raise SourceError(f"{path}: column {name!r} holds {kind}: expected numbers or text")
    numbers = column.cast(kind).cast("float64", safe=False).to_numpy()
    return np.array(numbers, np.float64)  # what is null is NaN


def _npz(path: Path, chosen: Sequence[str] | None, id_column: str | None) -> _Read:
    try:
        with zipfile.ZipFile(path) as archive:
            return _arrays(path, archive, chosen, id_column)
    except (zipfile.BadZipFile, ValueError, EOFError, zlib.error, RuntimeError) as error:
        raise SourceError(f"{path}: no NPZ file: {error}") from None


def _arrays(
    path: Path, archive: zipfile.ZipFile, chosen: Sequence[str] | None, id_column: str | None
) -> _Read:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    views: dict[str, list[str]] = {}  # of each array, what its columns are called
    shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    for name, info in members.items():
        with archive.open(info) as file:
            shape, _, dtype = _npy_header(file)
            if min(shape, default=0) < 0 or (
                math.prod(shape) * dtype.itemsize != info.file_size - file.tell()
            ):
                raise ValueError(f"array {name!r} has not the size its header says")
        shapes[name] = shape, dtype
        _check_columns(path, sum(s[1] if len(s) == 2 else 1 for s, _ in shapes.values()))
        views[name] = [f"{name}/{i}" for i in range(shape[1])] if len(shape) == 2 else [name]
    if chosen is not None:  # a view's own name means all of it
        chosen = [c for name in chosen for c in views.get(name, [name])]
    every = [column for columns in views.values() for column in columns]
    picked = _pick(path, every, chosen, id_column)
    owners = dict.fromkeys(name for name, columns in views.items() if set(columns) & set(picked))
    counts = {name: shapes[name][0][0] if shapes[name][0] else 0 for name in owners}
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{name}: {count}" for name, count in [*counts.items()][:SHOWN])
        raise SourceError(f"{path}: arrays of different lengths ({listed}): choose columns")
    for name in owners:
        shape, dtype = shapes[name]
        if dtype.kind not in "biufU" or len(shape) > (1 if dtype.kind == "U" else 2):
            raise SourceError(
                f"{path}: array {name!r} is {dtype} of shape {shape}: expected numbers, a column "
                "or a view of columns, or a column of text"
            )
        _check_size(path, counts[name], math.prod(shape[1:]), dtype.itemsize)
    _check_size(path, max(counts.values()), len(picked), 8)
    found: dict[str, Cells] = {}
    ids = None
    for name in owners:
        with archive.open(members[name]) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        if name == id_column:
            if array.ndim != 1 or array.dtype.kind == "f":
                raise SourceError(f"{path}: identifiers {name!r}: expected a column of text")
            ids = [str(value).strip() for value in array.tolist()]
        elif array.dtype.kind == "U":
            texts = [text.strip() for text in array.tolist()]
            found[name] = ["" if text.lower() in MISSING else text for text in texts]
        else:
            table = array.astype(np.float64).reshape(len(array), -1)
            found |= dict(zip(views[name], table.T, strict=True))
    kept = {name: found[name] for name in picked if name in found}
    return kept, max(counts.values()), ids


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)  # type: ignore[no-any-return,no-untyped-call]
    return np.lib.format.read_array_header_2_0(file)  # type: ignore[no-any-return,no-untyped-call]


def _pick(
    path: Path, names: Sequence[str], chosen: Sequence[str] | None, id_column: str | None
) -> list[str]:
    """The columns to read, the one of identifiers last."""
    twice = [name for name, count in Counter(names).items() if count > 1 or not name]
    if twice:
        raise SourceError(f"{path}: columns without a name of their own: {twice[:SHOWN]}")
    wanted = [name for name in names if name != id_column] if chosen is None else list(chosen)
    wanted += [] if id_column is None else [id_column]
    unknown = [name for name in wanted if name not in set(names)]
    if unknown or len(set(wanted)) != len(wanted):
        raise ConfigError(
            f"{path}: no columns {', '.join(unknown) or 'twice'}: it has "
            f"{', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
        )
    if len(wanted) == (id_column is not None):
        raise SourceError(f"{path}: no columns besides the identifiers")
    return wanted


def _check_columns(path: Path, columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise SourceError(f"{path}: over {MAX_COLUMNS} columns: more than are read")


def _check_size(path: Path, rows: int, columns: int, itemsize: int, unpacked: int = 0) -> None:
    cells, size = rows * columns, max(unpacked, rows * columns * itemsize)
    if cells > MAX_CELLS or size > MAX_BYTES:
        raise SourceError(
            f"{path}: {rows} records of {columns} columns, {size} bytes: at most {MAX_CELLS} cells "
            f"and {MAX_BYTES} bytes are read: choose fewer columns"
        )


def _identifiers(path: Path, ids: list[str] | None, records: int) -> list[str]:
    if ids is None:
        return [str(number) for number in range(records)]
    name, times = Counter(ids).most_common(1)[0]
    if times > 1 or not all(0 < len(name) <= LONGEST_ID for name in ids):
        raise SourceError(
            f"{path}: identifiers must be different and 1 to {LONGEST_ID} characters; "
            f"{name[:LONGEST_ID]!r} stands {times} times, "
            f"{sum(not name for name in ids)} are empty"
        )
    return ids


def _number(cell: str) -> float:
    if "_" in cell:  # which Python would allow
        raise ValueError(cell)
    return float(cell) if cell else math.nan


def _is_number(cell: str) -> bool:
    try:
        return not math.isnan(_number(cell))
    except ValueError:
        return False


def _text(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(value)
