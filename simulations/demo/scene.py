"""`narrows demo --task all`: label, boxes and mask of one packet, drawn into real photographs.

Also what one, two and three answers cost device, link and server: the packet is the same.
"""

import html
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from narrows.codec.manifest import Manifest
from narrows.edge.device import run_device
from narrows.edge.encoder import load_feature_encoder
from narrows.edge.link import LinkSettings
from narrows.edge.record import FrameRecord
from narrows.edge.run import DeviceSettings
from narrows.edge.show import drawn
from narrows.edge.source import SourceFrame, open_source
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages, is_annotated
from narrows.simulations.demo.photographs import choose
from narrows.simulations.demo.run import Options, linked, serving
from narrows.simulations.evaluation import evenly

SHOWN, COLUMNS, WIDTH = 12, 3, 360  # photographs of the sheet, and pixels of each
COSTS = ("device_ms", "packet_bytes", "server_ms", "latency_ms")
DEVICE = ("preprocess", "head", "code")
SERVER = ("decode", "tail", "reply")


@dataclass(frozen=True)
class Row:
    """What some answers cost, medians over frames; `packets`: how many brought them."""

    tasks: tuple[str, ...]
    packets: int
    device_ms: float
    packet_bytes: float
    server_ms: float
    latency_ms: float


def show_scene(options: Options, task: str, separate: Sequence[Path], as_json: bool) -> None:
    """Run it and print. Raises NarrowsError."""
    console = Console(stderr=True, highlight=False)
    result = run_scene(options, task, separate, console)
    if as_json:
        print(json.dumps(result))
        return
    table = Table(
        "answers", "packets", "device ms", "packet bytes", "server ms", "latency ms",
        title=f"{result['frames']} frames over {result['link']}: what further answers cost",
    )  # fmt: skip
    for row in result["costs"]:
        numbers = (
            f"{row[k]:,.1f}" for k in ("device_ms", "packet_bytes", "server_ms", "latency_ms")
        )
        table.add_row(", ".join(row["tasks"]), str(row["packets"]), *numbers)
    out = Console(highlight=False)
    out.print(table)
    out.print(f"report: {options.report / 'index.html'}")


def run_scene(
    options: Options, task: str, separate: Sequence[Path], console: Console
) -> dict[str, Any]:
    """Returns the JSON object of `narrows demo --task`; writes the report.

    separate: bundles for one task each, whose packets, one after the other, are the alternative.
    """
    manifest = Manifest.load(options.bundle)
    have = tuple(manifest.labels_of)
    wanted = have if task == "all" else tuple(t.strip() for t in task.split(","))
    if not set(wanted) <= set(have):
        raise ConfigError(f"--task {task}: {manifest.name} has the tasks {', '.join(have)}")
    frames = _frames(options)
    console.print(f"{len(frames)} photographs; starting {options.replicas} replicas ...")
    with (
        serving(options.bundle, options.executor, options.replicas) as server,
        linked(server, options.link) as address,
    ):
        rows, records = [], list[FrameRecord]()
        for tasks in accumulate((t,) for t in wanted):
            console.print(f"asking for {', '.join(tasks)} ...")
            records = _sent(options.bundle, manifest, address, tasks, frames)
            rows.append(_row(tasks, records))
    if separate:
        rows.append(_separately(options, separate, frames, console))
    _write(options.report, manifest, records, rows)
    return {
        "bundle": manifest.name,
        "frames": len(frames),
        "link": options.link or "loopback",
        "costs": [vars(row) for row in rows],
        "errors": sum(not record.outcome.ok for record in records),
    }


def _separately(
    options: Options, bundles: Sequence[Path], frames: Sequence[SourceFrame], console: Console
) -> Row:
    """The sum over bundles, each with a server and a packet of its own."""
    rows = []
    for bundle in bundles:
        manifest = Manifest.load(bundle)
        console.print(f"asking {manifest.name} alone ...")
        with (
            serving(bundle, options.executor, options.replicas) as server,
            linked(server, options.link) as address,
        ):
            tasks = tuple(manifest.labels_of)
            rows.append(_row(tasks, _sent(bundle, manifest, address, tasks, frames)))
    tasks = tuple(task for row in rows for task in row.tasks)
    return Row(tasks, len(rows), *(sum(getattr(row, cost) for row in rows) for cost in COSTS))


def _frames(options: Options) -> list[SourceFrame]:
    """An even sample of the photographs, in memory: they are sent once for every set of tasks."""
    if options.data is not None and is_annotated(options.data):
        images = AnnotatedImages(options.data)
        chosen = evenly(images.of_part("val"), options.frames)
        return [SourceFrame(entry.name, images.image(entry.name)) for entry in chosen]
    if options.data is not None:
        return list(evenly(list(open_source(str(options.data))), options.frames))
    with tempfile.TemporaryDirectory(prefix="narrows-demo-") as scratch:
        choice = choose(None, options.frames, Path(scratch))
        found = list(open_source(str(choice.folder)))
        for frame in found:
            frame.image.load()
        return list(evenly(found, options.frames))


def _sent(
    bundle: Path,
    manifest: Manifest,
    address: str,
    tasks: tuple[str, ...],
    frames: Sequence[SourceFrame],
) -> list[FrameRecord]:
    """One device, one frame at a time: latencies without queues of its own."""
    settings = DeviceSettings(
        address, manifest.name, tasks=tasks, link=LinkSettings(window=1, deadline_ms=20_000)
    )
    records: list[FrameRecord] = []
    encoder = load_feature_encoder(bundle, manifest)

    def source() -> Iterator[SourceFrame]:
        yield from frames

    run_device(source(), encoder, settings, records.append)
    return records


def _row(tasks: tuple[str, ...], records: Sequence[FrameRecord]) -> Row:
    answered = [r for r in records if r.outcome.ok]

    def middle(stages: Sequence[str]) -> float:
        return median(sum(r.timing_ms[s] for s in stages) for r in answered)

    sizes = [r.outcome.wire.packet_bytes for r in answered]
    whole = median(sum(r.timing_ms.values()) for r in answered)
    return Row(tasks, 1, middle(DEVICE), sum(sizes) / len(sizes), middle(SERVER), whole)


def _write(
    folder: Path, manifest: Manifest, records: Sequence[FrameRecord], rows: Sequence[Row]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    answered = [r for r in records if r.outcome.ok and r.image is not None]
    sheet(evenly(answered, SHOWN)).save(folder / "answers.png")
    cells = "".join(
        f"<tr><td>{html.escape(', '.join(row.tasks))}<td>{row.packets}<td>{row.device_ms:.2f}"
        f"<td>{row.packet_bytes:,.0f}<td>{row.server_ms:.1f}<td>{row.latency_ms:.1f}"
        for row in rows
    )
    title = html.escape(f"{manifest.name}: {len(records)} frames")
    (folder / "index.html").write_text(
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>"
        "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto}img{max-width:100%}"
        f"td,th{{padding:0 1em;text-align:left}}</style><h1>{title}</h1>"
        "<img src=answers.png alt='photographs with label, boxes and mask'>"
        "<table><tr><th>answers<th>packets<th>device ms<th>packet bytes<th>server ms<th>latency ms"
        f"{cells}</table>\n"
    )


def sheet(records: Sequence[FrameRecord]) -> Image.Image:
    """Photographs with their answers drawn on, in rows."""
    pictures = []
    for record in records:
        assert record.image is not None
        picture = drawn(record.image, record)
        height = round(picture.height * WIDTH / picture.width)
        pictures.append(picture.resize((WIDTH, height), Image.Resampling.LANCZOS))
    lines = [pictures[i : i + COLUMNS] for i in range(0, len(pictures), COLUMNS)]
    heights = [max(p.height for p in line) for line in lines]
    columns = min(COLUMNS, len(pictures))
    whole = Image.new("RGB", (max(1, columns * WIDTH), max(1, sum(heights))), "white")
    top = 0
    for line, height in zip(lines, heights, strict=True):
        for column, picture in enumerate(line):
            whole.paste(picture, (column * WIDTH, top))
        top += height
    return whole
