"""A row for every frame: what `events.parquet` of a measurement holds."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from narrows.edge.timing import STAGES
from narrows.simulations.demo.devices import LEAD_IN, Fleet
from narrows.simulations.measuring.choices import Cell
from narrows.simulations.measuring.photographs import Photographs

Row = dict[str, Any]
ALL_STAGES = (*STAGES[:3], "network", *STAGES[3:])  # in the order of a frame's way
FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("link", pa.string()),
    ("choice", pa.string()),
    ("round", pa.int16()),
    ("device", pa.int16()),
    ("frame", pa.int32()),  # of the device, from 1
    ("name", pa.string()),
    ("status", pa.string()),
    ("answered_by", pa.string()),
    ("truth", pa.string()),
    ("answer", pa.string()),
    ("correct", pa.bool_()),  # null where the truth is not known
    ("payload_bytes", pa.int32()),
    ("framing_bytes", pa.int32()),
    ("wire_bytes", pa.int32()),  # both
    ("sendings", pa.int16()),
    ("batch", pa.int16()),
    ("settled", pa.bool_()),  # not among its device's first frames, whose latencies do not count
    ("latency_ms", pa.float64()),  # the sum of the stages that follow
)
SCHEMA = pa.schema([*FIELDS, *((f"{stage}_ms", pa.float64()) for stage in ALL_STAGES)])


def rows_of(cell: Cell, number: int, fleet: Fleet, photographs: Photographs) -> list[Row]:
    """The frames of one run, every device's in the order in which it told of them."""
    told, rows = Counter[int](), []
    for record in fleet.records:
        told[record["device"]] += 1
        frame, timing = told[record["device"]], record["timing_ms"]
        truth = photographs.truth.get(record["name"])
        answer = record["labels"][0]["name"] if record["labels"] else None
        row = {
            "link": cell.link, "choice": cell.choice.name, "round": number,
            "device": record["device"], "frame": frame, "name": record["name"],
            "status": record["status"], "answered_by": record["answered_by"],
            "truth": truth, "answer": answer,
            "correct": None if truth is None else answer == truth,
            "payload_bytes": record["packet_bytes"], "framing_bytes": record["framing_bytes"],
            "wire_bytes": record["wire_bytes"], "sendings": record["sendings"],
            "batch": record["batch_size"], "settled": frame > LEAD_IN,
            "latency_ms": sum(timing.values()) if timing else None,
        }  # fmt: skip
        rows.append(row | {f"{stage}_ms": timing.get(stage) for stage in ALL_STAGES})
    return rows


def columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Rows -> columns, of every name of SCHEMA."""
    return {name: [row[name] for row in rows] for name in SCHEMA.names}
