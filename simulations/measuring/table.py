"""The figures as a flat table: a line a choice and link, for spreadsheets."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from narrows.simulations.measuring.events import ALL_STAGES
from narrows.simulations.measuring.figures import SHARES
from narrows.simulations.measuring.spending import COMPUTING, OTHER, RADIO

BYTES = ("payload", "framing", "wire", "link_up", "link_down")
SPENT = (*COMPUTING, OTHER, RADIO)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every row has the same columns; what was not measured is empty."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict(_cells(rows[0]))))
        writer.writeheader()
        writer.writerows(dict(_cells(row)) for row in rows)


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("link", "choice", "frames", "answered", "lost", "accuracy"):
        yield name, row[name]
    latency, energy = row["latency_ms"], row["energy"]
    for share in SHARES:
        yield f"latency_{share}_ms", latency[share]
    for stage in ALL_STAGES:
        for share in SHARES:
            yield f"{stage}_{share}_ms", latency["stages"].get(stage, {}).get(share)
    for name in BYTES:
        yield f"{name}_bytes", row["bytes"][name]
    yield "joules_per_frame", energy["joules_per_frame"]
    for stage in SPENT:
        yield f"{stage}_joules", energy["stages"].get(stage)
    yield "machine_joules_per_frame", energy["machine_joules_per_frame"]
    yield "device_cpu_ms_per_frame", row["device"]["cpu_ms_per_frame"]
    yield "server_cpu_ms_per_frame", row["server"]["cpu_ms_per_frame"]
    yield "server_gpu_joules_per_frame", row["server"]["gpu_joules_per_frame"]
