"""`narrows bench rd --task`: the scores of a multi-task bundle against bytes, task by task.

Methods: `ours` (the bundle), picture codecs before its unsplit network, the folder of any other
bundle, and `device:FOLDER`, whose unsplit network is a small one that runs whole on the device.
"""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages
from narrows.images.preprocess import pad_to_stride, resize_and_crop
from narrows.models.bundle import TailRunner, load_tail
from narrows.simulations.evaluation import evenly
from narrows.simulations.rate_distortion.codecs import QUALITIES, Picture, check_codec
from narrows.simulations.rate_distortion.measure import TIMED
from narrows.simulations.rate_distortion.report import DROPS, OURS
from narrows.simulations.rate_distortion.statistics import bytes_at, common
from narrows.simulations.rate_distortion.subjects import BundleSubject, CodecSubject, Subject
from narrows.simulations.scene_evaluation import METRICS, evaluate_scenes, tells

DEVICE = "device:"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class SceneBenchmark:
    """What is asked for."""

    data: tuple[Path, ...]
    bundle: Path
    task: str  # or "all"
    methods: tuple[str, ...]
    limit: int | None


def run_scene_bench(asked: SceneBenchmark, as_json: bool, plot: Path | None) -> None:
    """Measure and print. Raises NarrowsError."""
    if asked.task not in (*METRICS, "all"):
        raise ConfigError(f"--task {asked.task}: expected {', '.join(METRICS)} or all")
    if OURS not in asked.methods:
        raise ConfigError(f"--methods {','.join(asked.methods)}: expected {OURS} among them")
    sets = [AnnotatedImages(path) for path in asked.data]
    entries = evenly([(s, e) for s in sets for e in s.of_part("val")], asked.limit)
    codecs = [m for m in asked.methods if m in QUALITIES]
    for codec in codecs:
        check_codec(codec)
    bundles = {m: asked.bundle if m == OURS else Path(m) for m in asked.methods if m not in codecs}
    measured: dict[str, dict[str, Any]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for method, folder in bundles.items():
            folder = Path(str(folder).removeprefix(DEVICE))
            labels_of = Manifest.load(folder).labels_of
            known = {s for s in sets if tells(s, labels_of)}
            telling = [(s, e) for s, e in entries if s in known]
            task = progress.add_task(method, total=len(telling))
            measured[method] = evaluate_scenes(
                folder, telling, codecs if method == OURS else (),
                advance=lambda n, t=task: progress.advance(t, n),  # type: ignore[misc]
            )  # fmt: skip
    pictures = _pictures(asked.bundle, entries)
    times = _times(asked, bundles, codecs, pictures)
    tasks = [t for t in measured[OURS]["metrics"] if asked.task in (t, "all")]
    found = {t: _figures(t, measured, times, codecs) for t in tasks}
    found_all: dict[str, Any] = {"frames": len(entries), "tasks": found}
    if plot:
        _draw(found, plot)
    if as_json:
        one = {"frames": len(entries)} | found[asked.task] if asked.task != "all" else found_all
        print(json.dumps(one))
    else:
        _print(found, len(entries))


def _pictures(bundle: Path, entries: Sequence[tuple[AnnotatedImages, Any]]) -> list[Picture]:
    rule = Manifest.load(bundle).input
    return [
        resize_and_crop(images.image(entry.name), rule.short_side, rule.max_aspect)
        for images, entry in entries[:TIMED]
    ]


def _times(
    asked: SceneBenchmark,
    bundles: dict[str, Path],
    codecs: Sequence[str],
    pictures: Sequence[Picture],
) -> dict[str, tuple[list[float], int]]:
    """Per method: median milliseconds of every point on one thread, and multiply-adds."""
    unsplit = load_tail(asked.bundle)
    subjects: dict[str, Subject] = {c: CodecSubject(c, unsplit) for c in codecs}
    alone: dict[str, TailRunner] = {}
    for method, folder in bundles.items():
        if method.startswith(DEVICE):
            alone[method] = load_tail(Path(method.removeprefix(DEVICE)))
        else:
            subjects[method] = BundleSubject(folder)
    taken: dict[tuple[str, int], list[float]] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for picture in pictures:  # all take turns, so that a busy machine is busy for all
        for method, subject in subjects.items():
            for point in range(len(subject.points)):
                started = time.perf_counter()
                subject.encode(picture, point)
                taken.setdefault((method, point), []).append(time.perf_counter() - started)
        for method, network in alone.items():
            started = time.perf_counter()
            _whole(network, picture)
            taken.setdefault((method, 0), []).append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    found: dict[str, tuple[list[float], int]] = {}
    for method in (*subjects, *alone):
        ms = [1e3 * statistics.median(t) for (m, _), t in sorted(taken.items()) if m == method]
        macs = subjects[method].macs if method in subjects else _macs(alone[method], pictures[0])
        found[method] = (ms, macs)
    return found


def _whole(network: TailRunner, picture: Picture) -> None:
    padded = pad_to_stride(picture, 32)[None]
    network.unsplit_answers(padded, [(picture.shape[0], picture.shape[1])], tuple(METRICS))


def _macs(network: TailRunner, picture: Picture) -> int:
    with FlopCounterMode(display=False) as counter:
        _whole(network, picture)
    return counter.get_total_flops() // 2


def _figures(
    task: str,
    measured: dict[str, dict[str, Any]],
    times: dict[str, tuple[list[float], int]],
    codecs: Sequence[str],
) -> dict[str, Any]:
    """One task's JSON object: the keys of `narrows bench rd` with `score` for `accuracy`."""
    methods: dict[str, Rows] = {}
    for method, figures in measured.items():
        if task not in figures["metrics"]:
            continue  # a bundle for other tasks
        ms, macs = times[method]
        if method.startswith(DEVICE):  # an answer's few bytes are not counted
            row = {"score": figures["unsplit_scores"][task], "bytes": 0.0}
            methods[method] = [row | {"device_ms": ms[0], "macs": macs}]
        else:
            methods[method] = _rows(figures["points"], "packet_bytes", task, ms, macs)
    for codec in codecs:
        methods[codec] = _rows(measured[OURS][codec], "bytes", task, *times[codec])
    unsplit = measured[OURS]["unsplit_scores"][task]
    curves = {m: [(r["bytes"], r["score"]) for r in rows] for m, rows in methods.items()}
    others = [m for m in methods if m != OURS and not m.startswith(DEVICE)]
    ratios = {}
    for drop in DROPS:
        at = {m: bytes_at(points, unsplit - drop / 100) for m, points in curves.items()}
        ratios[f"-{drop}"] = {m: _over(at[OURS], at[m]) for m in others}
    return {
        "metric": METRICS[task],
        "unsplit_score": unsplit,
        "methods": methods,
        "bytes_ratio_at": ratios,
        "bytes_ratio_at_common": {m: common(curves[OURS], curves[m]) for m in others},
    }


def _over(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours / theirs


def _rows(points: Rows, bytes_key: str, task: str, ms: Sequence[float], macs: int) -> Rows:
    return [
        {"score": p["scores"][task], "bytes": p[bytes_key], "device_ms": t, "macs": macs}
        for p, t in zip(points, ms, strict=True)
    ]


def _print(found: dict[str, dict[str, Any]], frames: int) -> None:
    console = Console()
    for task, figures in found.items():
        title = f"{task}: {frames} photographs, unsplit {figures['unsplit_score']:.1%}"
        table = Table("method", figures["metric"], "bytes", "device ms", "M MACs", title=title)
        for method, rows in figures["methods"].items():
            for row in rows:
                cells = (f"{row['score']:.1%}", f"{row['bytes']:,.0f}", f"{row['device_ms']:.2f}")
                table.add_row(method, *cells, f"{row['macs'] / 1e6:,.0f}")
        console.print(table)
        for method, both in figures["bytes_ratio_at_common"].items():
            at = f"{both['accuracy']:.1%}, the best of both"
            console.print(f"{both['ratio']:.2f} of {method}'s bytes at {at}")


def _draw(found: dict[str, dict[str, Any]], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(found), figsize=(5.3 * len(found), 4.5), layout="constrained", squeeze=False
    )
    for panel, (task, figures) in zip(panels[0], found.items(), strict=True):
        for method, rows in figures["methods"].items():
            if method.startswith(DEVICE):
                panel.axhline(100 * rows[0]["score"], linestyle="--", linewidth=1, label=method)
                continue
            rows = sorted(rows, key=lambda row: row["bytes"])
            x, y = [r["bytes"] for r in rows], [100 * r["score"] for r in rows]
            panel.plot(x, y, marker="o", linewidth=2.5 if method == OURS else 1.2, label=method)
        panel.axhline(100 * figures["unsplit_score"], color="grey", linestyle=":", linewidth=1)
        panel.set(
            xscale="log", xlabel="bytes a picture", ylabel=figures["metric"] + ", %", title=task
        )
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.savefig(target, dpi=110)
    plt.close(figure)
