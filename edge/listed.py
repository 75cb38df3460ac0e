"""Paths that come line by line, on a pipe that another program may keep open for ever."""

import os
import select
from collections.abc import Iterator

from narrows.errors import SourceError

MAX_LINE = 1 << 16  # bytes; PATH_MAX is 4,096


class ListedPaths:
    """The lines of an open file, as they come; `close` ends the wait for the next one.

    A blocking read cannot be ended from another thread, `select` can: by a pipe of our own.
    """

    def __init__(self, descriptor: int) -> None:
        """`descriptor` stays the caller's."""
        self._descriptor = descriptor
        self._closed, self._wake = os.pipe()

    def __iter__(self) -> Iterator[str]:
        """Lines without their ends. Raises SourceError: one is too long to be a path."""
        begun = b""
        while chunk := self._read():
            *lines, begun = (begun + chunk).split(b"\n")
            yield from map(os.fsdecode, lines)
            if len(begun) > MAX_LINE:
                raise SourceError(f"stdin: expected a path a line, got {len(begun)} bytes of one")
        if begun and not self._is_closed():
            yield os.fsdecode(begun)

    def close(self) -> None:
        """No more lines, from any thread."""
        os.write(self._wake, b"\0")

    def _read(self) -> bytes:
        select.select([self._descriptor, self._closed], [], [])
        return b"" if self._is_closed() else os.read(self._descriptor, MAX_LINE)

    def _is_closed(self) -> bool:
        return bool(select.select([self._closed], [], [], 0)[0])
