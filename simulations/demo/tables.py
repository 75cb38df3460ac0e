"""`narrows demo` on a terminal: progress on standard error, tables or one JSON object on output."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from narrows.simulations.demo.figures import STAGES
from narrows.simulations.demo.run import Options, run_demo
from narrows.simulations.rate_distortion.statistics import bytes_at


def show_demo(
    bundle: Path,
    data: Path | None,
    frames: int,
    link: str | None,
    executor: str,
    replicas: int,
    report: Path,
    as_json: bool,
) -> None:
    """Run the demonstration and print it. Raises NarrowsError."""
    options = Options(bundle, data, frames, link, replicas, executor, report)
    result = run_demo(options, Console(stderr=True, highlight=False))
    if as_json:
        print(json.dumps(result))
        return
    console = Console(highlight=False)
    console.print(f"{result['frames']} frames: {result['photographs']}; link {result['link']}")
    console.print(_points_table(result), _stages_table(result), _slow_table(result["slow_device"]))
    console.print(f"report: {report / 'index.html'}")


def _points_table(result: dict[str, Any]) -> Table:
    key = judged_by(result)
    names = ("sent", key, "bytes", "framing", "JPEG", "WebP", "p50 ms", "p99 ms", "errors", "lost")
    table = Table(*names, title="from two devices; JPEG, WebP: bytes at equal accuracy")
    for row in result["points"]:
        table.add_row(
            f"point {row['id']}", *_bytes(row, key), *_equal(result, row, key), *_ends(row)
        )
    for codec, row in result["uploads"].items():
        table.add_row(f"{codec} q{row['quality']}", *_bytes(row, key), "", "", *_ends(row))
    alone = result["device_only"]
    table.add_row("alone", _percent(alone[key]), "-", "-", "", "", *_ends(alone))
    return table


def judged_by(result: Mapping[str, Any]) -> str:
    """`accuracy` where there are labels, else `agreement` with the unsplit network."""
    return "accuracy" if result["unsplit_accuracy"] is not None else "agreement"


def _bytes(row: dict[str, Any], key: str) -> tuple[str, str, str]:
    return _percent(row[key]), f"{row['packet_bytes']:,.0f}", f"{row['framing_bytes']:,.0f}"


def _ends(row: dict[str, Any]) -> tuple[str, ...]:
    latency = row["latency_ms"]
    return f"{latency['p50']:.1f}", f"{latency['p99']:.1f}", str(row["errors"]), str(row["lost"])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _equal(result: dict[str, Any], row: dict[str, Any], key: str) -> tuple[str, ...]:
    """How many times our bytes each codec needs for the same accuracy."""
    curves = (result["curves"][codec] for codec in ("jpeg", "webp"))
    found = (bytes_at([(r["bytes"], r[key]) for r in curve], row[key]) for curve in curves)
    return tuple("never" if b is None else f"{b / row['packet_bytes']:.1f}x" for b in found)


def _stages_table(result: dict[str, Any]) -> Table:
    table = Table("", *STAGES, title="where the time goes, p50 ms", padding=(0, 0))
    rows = {f"point {row['id']}": row for row in result["points"]} | result["uploads"]
    for name, row in rows.items():
        stages = row["latency_ms"]["stages"]
        table.add_row(name, *(f"{stages[s]['p50']:.1f}" for s in STAGES))
    return table


def _slow_table(slow: dict[str, Any]) -> Table:
    table = Table("way", "p50 ms", "p99 ms", title=f"one device held to {slow['limited']}")
    for way in ("split", "jpeg", "device_only"):
        table.add_row(way.replace("_", " "), f"{slow[way]['p50']:.1f}", f"{slow[way]['p99']:.1f}")
    return table
