"""A server's log on stderr: one line a record, as text for people or as JSON for programs.

What a record is about beyond its message (a device, a frame) is in its `fields`, by `about`.
"""

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from narrows.errors import ConfigError

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
LONGEST = 500  # characters of any one text: devices choose some of them
CONTROLS = {c: f"\\x{c:02x}" for c in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


def set_up_logs(form: str, level: str) -> None:
    """Log to this process's stderr from now on: ours at `level`, other libraries' warnings.

    Raises:
        ConfigError: no such format or level.
    """
    if form not in FORMATS:
        raise ConfigError(f"--log {form!r}: expected {' or '.join(FORMATS)}")
    if level not in LEVELS:
        raise ConfigError(f"--log-level {level!r}: expected {', '.join(LEVELS)}")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("narrows").setLevel(level.upper())


def about(**fields: Any) -> dict[str, Any]:
    """`extra` of a log call: what the record is about, without what is None or empty."""
    return {"fields": {k: _cut(v) for k, v in fields.items() if v not in (None, "")}}


class JsonFormatter(logging.Formatter):
    """`{"time": ..., "level": ..., "logger": ..., "message": ...}` and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _cut(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, then the fields as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        told = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{record.levelname} {record.name}: {_cut(record.getMessage())}{told}"
        line = f"{_time(record)} {line.translate(CONTROLS)}"  # a device forges no second line
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return getattr(record, "fields", {})


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return value[:LONGEST] + "..."
    return value
