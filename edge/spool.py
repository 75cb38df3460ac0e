"""Frames without an answer, on disk until one came: in order of capture, within so many bytes.

One SQLite file with a write-ahead log and `synchronous=FULL`: a frame costs one fsync, what was
appended before a power cut is there after it, and a torn end of the log is told by its checksums
and left out. A rollback journal would take two or three fsyncs, which is what flash is slow at. The
file is locked for as long as it is open, so no shared memory is needed beside it.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from narrows.edge.scratch import sync_to_disk
from narrows.edge.spooled import SpooledFrame
from narrows.errors import ConfigError

log = logging.getLogger(__name__)
FILE, DAMAGED = "spool.sqlite", "spool.damaged.sqlite"
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter where SQLite quotes what it read
# What SQLite says where the file may be whole for all that.
OUTSIDE = ("locked", "unable to open", "disk I/O", "disk is full")
SCHEMA = 1  # a file of another is set aside, as a damaged one is
MAX_FRAME_BYTES = 1 << 20  # packets have some hundred, pictures some ten thousand
LOG_PAGES = 256  # of the write-ahead log, before it is carried over into the file
LOG_BYTES = 4 << 20  # what the log may take: those, and a transaction of the largest frame
MIN_BYTES = 2 * LOG_BYTES
PAGE_BYTES = 4096
CREATE = """CREATE TABLE frames (
    id INTEGER PRIMARY KEY, captured_ns INTEGER NOT NULL, name TEXT NOT NULL, label TEXT,
    folder TEXT, point INTEGER, kind TEXT NOT NULL, bundle TEXT NOT NULL, tasks TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, view TEXT, data BLOB NOT NULL)"""
T = TypeVar("T")


COLUMNS = tuple(each.name for each in fields(SpooledFrame))


class Spool:
    """`with Spool(folder, 64 << 20) as spool: spool.append(frame)`. One thread at a time."""

    def __init__(self, folder: Path, limit_bytes: int):
        """Open or make the spool in `folder`, which takes at most `limit_bytes` on disk.

        A damaged one is renamed, with a warning, and a new one begun: `set_aside` says where.

        Raises:
            ConfigError: the folder cannot be written, another device uses it, or the limit is
                below `MIN_BYTES`.
        """
        if limit_bytes < MIN_BYTES:
            raise ConfigError(f"a spool of {limit_bytes} bytes: expected at least {MIN_BYTES}")
        self.path, self.set_aside = folder / FILE, ""
        self._connection: sqlite3.Connection | None = None
        self._pages = (limit_bytes - LOG_BYTES) // PAGE_BYTES
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._guarded(lambda: self._db)
            sync_to_disk(folder)
        except OSError as error:
            raise ConfigError(
                f"--spool {folder}: {error}: expected a folder that can be written, and no other "
                "device that uses it"
            ) from None

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __len__(self) -> int:
        """Frames in it."""
        return int(self._guarded(lambda: self._value("SELECT count(*) FROM frames")))

    @property
    def last_id(self) -> int:
        """The largest id in it; 0 where it is empty."""
        return int(self._guarded(lambda: self._value("SELECT max(id) FROM frames")) or 0)

    def append(self, frame: SpooledFrame) -> tuple[SpooledFrame, ...]:
        """Store a frame; once this returns it survives a power cut.

        Returns those that had to go, oldest first.

        Raises:
            OSError: the disk is full or fails, or the frame is over `MAX_FRAME_BYTES`. Nothing has
                changed.
        """
        if len(frame.data) > MAX_FRAME_BYTES:
            raise OSError(f"{len(frame.data)} bytes: a spool takes frames of {MAX_FRAME_BYTES}")

        def store() -> tuple[SpooledFrame, ...]:
            with self._transaction():
                gone = self._make_room(len(frame.data))
                places = ", ".join("?" * len(COLUMNS))
                self._db.execute(f"INSERT INTO frames VALUES ({places})", _row(frame))
            return gone

        return self._guarded(store)

    def oldest(self, after: int = 0) -> SpooledFrame | None:
        """The frame captured first of those with a larger id than `after`; it stays.

        Raises:
            OSError: the disk fails.
        """
        query = f"SELECT {', '.join(COLUMNS)} FROM frames WHERE id > ? ORDER BY id LIMIT 1"

        def read() -> SpooledFrame | None:
            row = self._db.execute(query, (after,)).fetchone()
            return None if row is None else _frame(row)

        return self._guarded(read)

    def acknowledge(self, frame_id: int) -> None:
        """Its answer was told: it never comes back.

        Raises:
            OSError: the disk is full or fails; it may come back.
        """

        def delete() -> None:
            with self._transaction():
                self._db.execute("DELETE FROM frames WHERE id = ?", (frame_id,))

        self._guarded(delete)

    def _make_room(self, size: int) -> tuple[SpooledFrame, ...]:
        """Delete the oldest until `size` bytes and their row fit."""
        gone, wanted = [], size // PAGE_BYTES + 4  # the row's leaf, and what a tree may split
        query = f"SELECT {', '.join(COLUMNS)} FROM frames ORDER BY id LIMIT 1"
        while self._used_pages() + wanted > self._pages:
            row = self._db.execute(query).fetchone()
            if row is None:
                break
            gone.append(_frame(row))
            self._db.execute("DELETE FROM frames WHERE id = ?", (gone[-1].id,))
        return tuple(gone)

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:  # at first, or where a disk failed while a file was replaced
            self._connection = _open(self.path)
        return self._connection

    def _used_pages(self) -> int:
        return int(self._value("PRAGMA page_count")) - int(self._value("PRAGMA freelist_count"))

    def _value(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _guarded(self, action: Callable[[], T]) -> T:
        """`action`, and where the file is damaged once more on a new one. Raises OSError."""
        try:
            try:
                return action()
            except DAMAGE as error:
                if any(cause in str(error) for cause in OUTSIDE):
                    raise
                self.close()
                self._rename(error)
                return action()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise OSError(f"{self.path}: {error}") from None

    def _rename(self, error: Exception) -> None:
        """Set the damaged files aside, in the place of those before: the disk stays bounded."""
        damaged = self.path.with_name(DAMAGED)
        for end in ("", "-wal"):
            damaged.with_name(DAMAGED + end).unlink(missing_ok=True)
            log_or_file = self.path.with_name(FILE + end)
            if log_or_file.exists():
                os.replace(log_or_file, damaged.with_name(DAMAGED + end))
        sync_to_disk(self.path.parent)
        self.set_aside = str(damaged)
        log.warning("%s is damaged (%s): set aside as %s", self.path, error, damaged.name)


def _open(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.DatabaseError for a damaged file, its OperationalError for a failing disk."""
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        _require_whole(db)
    except BaseException:
        db.close()
        raise
    return db


def _require_whole(db: sqlite3.Connection) -> None:
    """Check every page, and that the file is a spool; an empty one becomes it."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    schema = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if (schema, tables) not in ((SCHEMA, 1), (0, 0)):
        raise sqlite3.DatabaseError(f"expected a spool of schema {SCHEMA}, found {schema}")
    if not tables:
        db.executescript(f"BEGIN IMMEDIATE; {CREATE}; PRAGMA user_version = {SCHEMA}; COMMIT")


def _row(frame: SpooledFrame) -> tuple[Any, ...]:
    view = None if frame.view is None else json.dumps(asdict(frame.view))
    row = asdict(frame) | {"tasks": ",".join(frame.tasks), "view": view}
    return tuple(_as_text(value) if isinstance(value, str) else value for value in row.values())


def _as_text(name: str) -> str:
    """A file's name may be no UTF-8; SQLite keeps nothing else."""
    return name.encode(errors="backslashreplace").decode()


def _frame(row: tuple[Any, ...]) -> SpooledFrame:
    """Checked in every part: SQLite itself would not notice a byte that changed on disk."""
    told = dict(zip(COLUMNS, row, strict=True))
    try:
        tasks = list(filter(None, told["tasks"].split(",")))
        view = None if told["view"] is None else json.loads(told["view"])
        parts = told | {"tasks": tasks, "view": view}
        return msgspec.convert(parts, SpooledFrame, builtin_types=(bytes,))
    except (AttributeError, TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"frame {row[0]}: {error}") from None
