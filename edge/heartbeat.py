"""A file that is touched at every answer, for whoever watches over a device.

`python -m narrows.edge.heartbeat FILE [SECONDS]` exits 0 while the last answer is no older than
that (60 s by default): a container's health check, or a supervisor's.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import ConfigError

if TYPE_CHECKING:  # a check every few seconds should cost little
    from narrows.edge.record import FrameRecord

PATIENCE_S = 60.0
LOOK_S = 0.2


def beating(file: Path, on_record: Callable[[FrameRecord], None]) -> Callable[[FrameRecord], None]:
    """`on_record`, and at each answered frame `file` gets the present as its time of change.

    Raises:
        ConfigError: the file cannot be made.
    """
    try:
        file.touch()
        os.utime(file, (0, 0))  # nothing is answered yet
    except OSError as error:
        raise ConfigError(f"--heartbeat {file}: {error.strerror}") from None

    def beat(record: FrameRecord) -> None:
        on_record(record)
        if record.outcome.ok:
            os.utime(file)

    return beat


def seconds_since(file: Path) -> float | None:
    """How long ago a frame was answered; None where none was, or there is no device."""
    try:
        answered_s = file.stat().st_mtime
    except FileNotFoundError:
        return None
    return time.time() - answered_s if answered_s else None


def is_alive(file: Path, patience_s: float = PATIENCE_S) -> bool:
    """Whether a frame was answered within the last `patience_s` seconds."""
    ago_s = seconds_since(file)
    return ago_s is not None and ago_s <= patience_s


def answers_within(file: Path, patience_s: float) -> bool:
    """Wait for a frame that is answered from now on; whether one was, in that time."""
    began_s = time.time()
    while time.time() - began_s < patience_s:
        try:
            if file.stat().st_mtime >= began_s:
                return True
        except FileNotFoundError:
            pass  # the device has not started yet
        time.sleep(LOOK_S)
    return False


if __name__ == "__main__":
    path, *patience = sys.argv[1:]
    sys.exit(not is_alive(Path(path), *map(float, patience)))
