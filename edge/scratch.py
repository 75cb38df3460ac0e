"""A folder for what is arriving, beside where it will go; what killed processes left goes too."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "arriving-"


@contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """An empty folder in `folder`, removed at the end: by the next process, if this one is killed.

    Who holds one has it locked, so that those of other processes stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        with _locked(path):
            path.mkdir(exist_ok=True)  # another may have removed it before it was locked
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises OSError where another process has it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def sync_to_disk(path: Path) -> None:
    """What was written to a file, or a folder's names, survives a power cut from now on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
