"""What a run leaves behind: configuration, seed, versions, every frame, figures."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from narrows.errors import ConfigError
from narrows.simulations.bench.race import machine

PACKAGES = ("narrows", "simpy", "numpy", "pyarrow", "grpcio", "torch", "onnxruntime")
EVENTS = pa.schema(
    [
        ("way", pa.string()),  # how it was decided what is done with the frame
        ("device", pa.int32()),
        ("class", pa.string()),
        ("frame", pa.int32()),  # of the device, from 0
        ("due_ms", pa.float64()),  # since the start
        ("choice", pa.string()),  # point 0, jpeg 60 or local
        ("wire_bytes", pa.int32()),  # of one sending, with framing
        ("device_ms", pa.float64()),  # of the device's computing
        ("sent_ms", pa.float64()),
        ("received_ms", pa.float64()),
        ("started_ms", pa.float64()),  # of its batch
        ("served_ms", pa.float64()),
        ("answered_ms", pa.float64()),
        ("latency_ms", pa.float64()),  # from due; null where it was not answered
        ("batch", pa.int16()),
        ("replica", pa.int16()),
        ("sendings", pa.int16()),
        ("status", pa.string()),
        ("by_device", pa.bool_()),  # the device itself answered
        ("accuracy", pa.float64()),  # of such answers; null where not measured, or no answer
        ("missed", pa.bool_()),  # its deadline
    ]
)


@dataclass(frozen=True)
class RunFolder:
    """A folder of one run."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str) -> "RunFolder":
        """`root/NAME-DATE-TIME`, new. Raises ConfigError where it cannot be made."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        for number in range(100):
            path = root / f"{name}-{stamp}{f'-{number}' if number else ''}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise ConfigError(f"--runs {root}: {error.strerror}: {error.filename}") from None
            return cls(path)
        raise ConfigError(f"--runs {root}: a hundred of {name} in one second are there already")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """`config.json`: what was asked for, with the seed; `versions.json`: of what ran it."""
        self._write("config.json", config)
        found = {"python": platform.python_version(), "system": platform.platform()}
        versions = {name: _version(name) for name in PACKAGES}
        self._write("versions.json", found | versions | {"machine": machine()})

    def write_events(self, columns: Mapping[str, list[Any]], schema: pa.Schema = EVENTS) -> None:
        """`events.parquet`: one row a frame; `columns` has every name of the schema."""
        pq.write_table(pa.table(dict(columns), schema=schema), self.path / "events.parquet")

    def write_result(self, result: Mapping[str, Any]) -> None:
        """`result.json`: the figures."""
        self._write("result.json", result)

    def _write(self, name: str, what: Mapping[str, Any]) -> None:
        (self.path / name).write_text(json.dumps(what, indent=1, default=str) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
