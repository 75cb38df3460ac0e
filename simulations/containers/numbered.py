"""Which of several equal containers this one is: the first folder that no other holds."""

import fcntl
import os
from pathlib import Path

from narrows.errors import ConfigError


def claim(folder: Path, pattern: str) -> Path:
    """The first of `folder`'s subfolders of that pattern that nobody holds; held until we end.

    A lock (flock) and not a file: whoever ends, however it ends, lets go.

    Raises:
        ConfigError: all are held.
    """
    found = sorted(folder.glob(pattern))
    for place in found:
        lock = os.open(place, os.O_RDONLY)  # stays open, and so locked
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        os.set_inheritable(lock, True)  # also in the program that this one becomes
        return place
    raise ConfigError(f"{folder}: all {len(found)} {pattern} are taken: make more, or start fewer")
