"""What `narrows edge` puts together from its options, and how it prints."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.codec.manifest import Manifest
from narrows.edge.board.watch import HeatWatch
from narrows.edge.camera import Camera
from narrows.edge.device import run_device, run_local
from narrows.edge.encoder import Encoder, ImageEncoder, load_feature_encoder
from narrows.edge.fetch import cache_folder, fetch_bundle, kept_bundle
from narrows.edge.gpu_encoder import load_gpu_encoder
from narrows.edge.head import HeadKind
from narrows.edge.heartbeat import beating
from narrows.edge.link import LinkSettings, addresses_of
from narrows.edge.listed import ListedPaths
from narrows.edge.local import LocalAnswerer
from narrows.edge.record import FrameRecord, Tally
from narrows.edge.run import DeviceSettings
from narrows.edge.source import SourceFrame, is_live, is_video, open_source
from narrows.errors import ConfigError, LinkError
from narrows.security.plaintext import allow_plain_text

if TYPE_CHECKING:
    from narrows.edge.spool import Spool

OnRecord = Callable[[FrameRecord], None]
OnStop = Callable[[], None]
AWAY_S = 1e9  # a server may stay away for so long where the device answers by itself, or keeps
FIRST_WAIT_S = 1.0
COUNTS = (
    *("answered", "local", "nothing", "kept", "failed", "lost"),
    *("skipped", "dropped", "reconnects", "resent"),
)


@dataclass(frozen=True)
class EdgeOptions:
    """The command's options, as given."""

    source: str
    server: str
    bundle: str
    point: str
    task: str
    upload: str | None
    policy: bool
    joules: float | None
    lose: float | None
    confidence: float | None
    local: Path | None
    deadline_ms: int
    window: int
    fps: float | None
    limit: int | None
    labels: bool
    part: str | None
    head: HeadKind
    head_threads: int
    video: bool | None
    drop_empty: bool
    tls: Path | None
    trust: Path | None
    insecure: bool
    give_up_s: float
    spool: Path | None
    spool_mb: int
    heartbeat: Path | None
    show: int | None
    json: bool


def run_edge(options: EdgeOptions, heat: HeatWatch | None = None) -> None:
    """Run a device. Raises NarrowsError; LinkError also after a run the server did not survive.

    `heat` of this board, by default: a camera and what has a frame rate are slowed down by it.
    """
    if options.local is None and options.tls is None:
        for address in addresses_of(options.server):
            allow_plain_text(address.rpartition(":")[0], options.insecure, force=True)
    if not options.policy and (options.joules, options.lose) != (None, None):
        raise ConfigError("--joules and --lose are for --policy: add it")
    if options.confidence is not None and options.lose is None:
        raise ConfigError("--confidence says how surely --lose holds: add it")
    if options.spool is not None and options.local is not None:
        raise ConfigError("--spool keeps what waits for a server: leave out --local")
    tally = Tally()
    listed = ListedPaths(sys.stdin.fileno()) if options.source == "-" else None
    opened = open_source(
        options.source,
        labels=options.labels,
        part=options.part,
        on_skip=tally.skip,
        on_drop=tally.drop,
        stdin=listed,
    )
    waiting = opened if isinstance(opened, Camera) else listed  # whose next frame may never come
    on_stop = waiting.close if waiting else lambda: None
    source = islice(opened, options.limit)
    with _printer(options.json) as on_record, _shown(options.show, on_record) as on_shown:
        on_answer = beating(options.heartbeat, on_shown) if options.heartbeat else on_shown
        summary = _run(options, source, on_answer, tally, on_stop, heat or HeatWatch())
        on_stop()
    _print_summary(summary, options.json)
    if summary["error"]:
        raise LinkError(summary["error"])


def _run(
    options: EdgeOptions,
    source: Iterator[SourceFrame],
    on_record: OnRecord,
    tally: Tally,
    on_stop: OnStop,
    heat: HeatWatch,
) -> dict[str, Any]:
    folder, fetched = _bundle_folder(options)
    manifest = Manifest.load(folder)
    if options.local is not None:
        answerer = LocalAnswerer(options.local, manifest.input, options.head_threads)
        return run_local(source, answerer, manifest.labels, manifest.folders, on_record, tally)
    settings = DeviceSettings(
        server=options.server,
        bundle=manifest.name,
        digest=manifest.digest,
        points=_points(options.point, manifest),
        tasks=_tasks(options.task, manifest),
        fps=options.fps,
        folders=manifest.folders,
        link=LinkSettings(
            window=options.window,
            deadline_ms=options.deadline_ms,
            give_up_s=options.give_up_s if options.spool is None else AWAY_S,
            first_wait_s=None if options.spool is None else FIRST_WAIT_S,
            tls=options.tls,
        ),
    )
    slowed = heat if options.fps is not None or is_live(options.source) else None
    with _spool(options) as spool:
        if options.policy:
            from narrows.cli._edge_policy import run_policy

            return run_policy(
                options, folder, fetched, settings, source, on_record, tally, spool, on_stop, slowed
            )
        return _run_fixed(
            options, folder, fetched, settings, source, on_record, tally, spool, on_stop, slowed
        )


def _run_fixed(
    options: EdgeOptions,
    folder: Path,
    fetched: bool,
    settings: DeviceSettings,
    source: Iterator[SourceFrame],
    on_record: OnRecord,
    tally: Tally,
    spool: "Spool | None",
    on_stop: OnStop,
    heat: HeatWatch | None,
) -> dict[str, Any]:
    encoder = _encoder(options, folder, Manifest.load(folder))

    def renew(digest: str) -> Encoder:
        return _encoder(options, *fetched_version(options, digest))

    renewing = renew if fetched else None
    return run_device(source, encoder, settings, on_record, tally, renewing, spool, on_stop, heat)


@contextmanager
def _spool(options: EdgeOptions) -> "Iterator[Spool | None]":
    if options.spool is None:
        yield None
        return
    from narrows.edge.spool import Spool

    with Spool(options.spool, options.spool_mb << 20) as spool:
        yield spool


def fetched_version(options: EdgeOptions, digest: str) -> tuple[Path, Manifest]:
    """That version of the bundle, fetched. Raises LinkError where a replica lags behind."""
    newer = _fetched(options)
    manifest = Manifest.load(newer)
    if manifest.digest != digest:
        raise LinkError(f"expected version {digest[:8]}..., got {manifest.digest[:8]}...")
    return newer, manifest


def _bundle_folder(options: EdgeOptions) -> tuple[Path, bool]:
    """The bundle's folder, and whether it came from the server."""
    if options.bundle and Path(options.bundle).is_dir():
        if options.trust is not None:
            from narrows.codec.signature import verify_signature

            verify_signature(Path(options.bundle), options.trust)
        return Path(options.bundle), False
    if "/" in options.bundle:
        raise ConfigError(f"--bundle {options.bundle}: no such folder")
    try:
        return _fetched(options), True
    except LinkError:
        stays = options.policy or options.spool is not None
        kept = kept_bundle(cache_folder(), options.bundle, options.trust) if stays else None
        if kept is None:
            raise
        return kept, True


def _fetched(options: EdgeOptions) -> Path:
    *first, last = addresses_of(options.server)
    rest = (options.bundle, cache_folder(), options.give_up_s, options.tls, options.trust)
    for address in first:
        with suppress(LinkError):
            return fetch_bundle(address, *rest)
    return fetch_bundle(last, *rest)


def _points(text: str, manifest: Manifest) -> tuple[int, ...]:
    have = tuple(point.id for point in manifest.operating_points)
    if text == "all":
        return have
    try:
        points = tuple(int(part) for part in text.split(","))
    except ValueError:
        points = ()
    if not points or not set(points) <= set(have):
        names = ", ".join(map(str, have))
        raise ConfigError(f"--point {text}: {manifest.name} has the operating points {names}")
    return points


def _tasks(text: str, manifest: Manifest) -> tuple[str, ...]:
    have = tuple(manifest.labels_of)
    if text == "all":
        return have
    tasks = tuple(part.strip() for part in text.split(","))
    if not set(tasks) <= set(have):
        raise ConfigError(f"--task {text}: {manifest.name} has the tasks {', '.join(have)}")
    return tasks


def _encoder(options: EdgeOptions, folder: Path, manifest: Manifest) -> Encoder:
    if options.upload is None:
        video = is_video(options.source) if options.video is None else options.video
        if options.head == "cuda" and not video and not options.drop_empty:
            return load_gpu_encoder(folder, manifest)
        return load_feature_encoder(
            folder, manifest, options.head, options.head_threads, video, options.drop_empty
        )
    kind, _, quality = options.upload.partition(":")
    if not quality.isdigit():
        raise ConfigError(f"--upload {options.upload}: expected jpeg:75 or webp:50, quality 1-100")
    return ImageEncoder(manifest.input, kind, int(quality))


@contextmanager
def _printer(as_json: bool) -> Iterator[OnRecord]:
    """JSON lines, or on a terminal a progress bar above which answers scroll."""
    if as_json:
        yield lambda record: print(json.dumps(record.to_json()), flush=True)
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

    console = Console()
    columns = (SpinnerColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("frames", total=None)

        def show(record: FrameRecord) -> None:
            progress.advance(task)
            console.print(_line(record), markup=False, highlight=False, soft_wrap=True)

        yield show


@contextmanager
def _shown(port: int | None, on_record: OnRecord) -> Iterator[OnRecord]:
    """Also a page where the answers are drawn, if a port is given."""
    if port is None:
        yield on_record
        return
    from narrows.edge.show import LivePage

    with LivePage(port) as page:

        def show(record: FrameRecord) -> None:
            on_record(record)
            page.show(record)

        yield show


def _line(record: FrameRecord) -> str:
    outcome = record.outcome
    name = record.name if record.captured is None else f"{record.name} of {record.captured}"
    if not outcome.ok:
        return f"{name}: {outcome.status}: {outcome.message}"
    said = [f"{label.name} ({label.probability:.0%})" for label in outcome.labels[:1]]
    if outcome.boxes is not None:
        sure = Counter(box.name for box in outcome.boxes if box.sure)
        said.append(" ".join(f"{count} x {name}" for name, count in sure.items()) or "no boxes")
    if outcome.mask is not None:
        shares = sorted(outcome.mask.shares().items(), key=lambda item: -item[1])
        said.append(" ".join(f"{share:.0%} {name}" for name, share in shares[:3]))
    if outcome.sendings:
        said.append(f"{outcome.wire.packet_bytes:,} bytes")
    return f"{name}: {', '.join(said)}, {sum(record.timing_ms.values()):.1f} ms"


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"summary": summary}), flush=True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for name, value in _summary_rows(summary):
        table.add_row(name, value)
    Console().print(table)


def _summary_rows(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "frames", f"{summary['frames']}: " + ", ".join(f"{summary[c]} {c}" for c in COUNTS)
    if summary["errors"]:
        yield "errors", ", ".join(f"{n} {status}" for status, n in summary["errors"].items())
    if summary["spool"]:
        yield "spool", ", ".join(f"{n} {what}" for what, n in summary["spool"].items() if n)
    if summary["heat"]:
        heat = summary["heat"]
        yield "heat", f"throttled for {heat['throttled_s']:.0f} s, {len(heat['steps'])} steps"
    if summary["accuracy"] is not None:
        yield "accuracy", f"{summary['accuracy']:.1%}"
    latency = summary["latency_ms"]
    if latency["p50"] is not None:
        if summary["wire_bytes"]:
            mean = (
                f"{summary['packet_bytes']:,.0f} a frame, {summary['wire_bytes']:,.0f} on the wire"
            )
            yield "bytes", mean
        yield "latency p50/p99", f"{latency['p50']:.1f} / {latency['p99']:.1f} ms"
        for stage, figures in latency["stages"].items():
            yield f"  {stage}", f"{figures['p50']:.2f} / {figures['p99']:.2f} ms"
    yield "start-up", f"{summary['startup_ms']:.0f} ms"
    yield "peak memory", f"{summary['peak_memory_bytes'] / 2**20:.1f} MiB"
