"""What each device may use: a TOML file, read again when it changes.

[default]                  # of every device that has no table of its own
frames_per_second = 30
bundles = ["scene"]        # none named: all that are served

[devices.camera-7]
frames_per_second = 5
"""

import logging
import sys
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from narrows.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)
BURST_SECONDS = 1.0  # of its rate may come at once


class Quota(BaseModel):
    """Of one device; None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    frames_per_second: float | None = Field(default=None, gt=0)
    bundles: tuple[str, ...] = ()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    default: Quota = Quota()
    devices: dict[str, Quota] = {}


class Quotas:
    """All devices' quotas."""

    def __init__(self, path: Path | None):
        """`path`: the file; None: no limits. Raises ConfigError."""
        self._path = path
        self._file = _File() if path is None else _read(path)
        self._stamp = self._stamped()

    def of(self, device: str) -> Quota:
        """A device's quota now. A file that became unreadable changes nothing, and is logged."""
        stamp = self._stamped()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                assert self._path is not None
                self._file = _read(self._path)
                log.info("quotas read again from %s", self._path)
            except ConfigError as error:
                log.error("quotas stay as they were: %s", error)
        return self._file.devices.get(device, self._file.default)

    def _stamped(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_ino)


class Allowance:
    """A token bucket: a rate, and a second's worth at once."""

    def __init__(self) -> None:
        self._tokens: float | None = None  # None: full
        self._then_s = 0.0

    def take(self, rate: float | None, now_s: float | None = None) -> float:
        """Take one frame at `rate` a second; 0.0, or how many seconds too early it is."""
        if rate is None:
            return 0.0
        now_s = time.monotonic() if now_s is None else now_s
        most = max(1.0, rate * BURST_SECONDS)
        have = most if self._tokens is None else self._tokens + (now_s - self._then_s) * rate
        self._then_s, self._tokens = now_s, min(most, have)
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0.0


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        place = ".".join(str(part) for part in first["loc"]) + ": " if first else ""
        raise ConfigError(f"{path}: {place}{first['msg'] if first else error}") from None
