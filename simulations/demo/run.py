"""The demonstration from start to table: measure, serve on Ray, send, compare, report."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from narrows.codec.manifest import Manifest
from narrows.errors import LinkError
from narrows.models.bundle import load_tail
from narrows.models.onnx_unsplit import export_unsplit
from narrows.simulations.demo import figures as fig
from narrows.simulations.demo.devices import run_devices
from narrows.simulations.demo.photographs import choose
from narrows.simulations.evaluation_report import measured
from narrows.simulations.links.spec import LinkSpec

SLOW_DEVICE = 0.25  # of a core


@dataclass(frozen=True)
class Options:
    """What the demonstration is asked for."""

    bundle: Path
    data: Path | None
    frames: int
    link: str | None  # such as 2mbit,20ms
    replicas: int
    executor: str
    report: Path


@dataclass(frozen=True)
class Scene:
    """What all its parts share."""

    options: Options
    paths: list[Path]
    truth: dict[str, str]  # photograph -> label, where known
    full: Path  # the unsplit network as ONNX

    def device(self, server: str, *arguments: str) -> list[str]:
        bundle = str(self.options.bundle)
        return [
            "--server",
            server,
            "--bundle",
            bundle,
            "--window",
            "1",
            "--deadline-ms",
            "20000",
            *arguments,
        ]

    def local(self) -> list[str]:
        return ["--bundle", str(self.options.bundle), "--local", str(self.full)]


def run_demo(options: Options, console: Console) -> dict[str, Any]:
    """Run it all; returns the JSON object of `narrows demo`. Raises NarrowsError."""
    with tempfile.TemporaryDirectory(prefix="narrows-demo-") as scratch:
        choice = choose(options.data, options.frames, Path(scratch))
        console.print(f"photographs: {choice.described}")
        images, entries = choice.entries()
        console.print("measuring accuracy and bytes, with JPEG and WebP beside ...")
        offline = measured(options.bundle, images, entries)
        scene = _scene(options, images.root, Path(scratch))
        console.print("computing on the device, for comparison ...")
        local = run_devices(scene.local(), scene.paths, count=1)
        reference = fig.answers(local)
        console.print(f"starting {options.replicas} replicas ({options.executor}) ...")
        with (
            serving(options.bundle, options.executor, options.replicas) as server,
            linked(server, options.link) as address,
        ):
            online = _online(scene, offline, reference, address, console)
        result = {
            "bundle": Manifest.load(options.bundle).name,
            "photographs": choice.described,
            "frames": offline["frames"],
            "link": str(LinkSpec.parse(options.link)) if options.link else "loopback",
            "unsplit_accuracy": offline["unsplit_accuracy"],
            "device_only": fig.fleet_figures(local, scene.truth, reference),
            **online,
            "curves": {"jpeg": offline["jpeg"], "webp": offline["webp"]},
        }
        from narrows.simulations.demo.report import write_report

        answers = reference | result.pop("answers")
        write_report(options.report, result, images, entries, answers)
        return result


def _scene(options: Options, folder: Path, scratch: Path) -> Scene:
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest = Manifest.load(options.bundle)
    side = manifest.input.short_side
    full = export_unsplit(load_tail(options.bundle), side, scratch / "unsplit.onnx")
    truth = true_labels_of(manifest, paths)
    return Scene(options, paths, truth, full)


def true_labels_of(manifest: Manifest, paths: list[Path]) -> dict[str, str]:
    """Photograph -> label, by class folder, for the folders the bundle knows."""
    shown = {f.lower(): name for f, name in zip(manifest.folders, manifest.labels, strict=True)}
    return fig.true_labels(paths, shown | {name.lower(): name for name in manifest.labels})


def _online(
    scene: Scene, offline: dict, reference: dict[str, str], address: str, console: Console
) -> dict[str, Any]:
    """Everything that crosses the wire: each point, the codecs at equal accuracy, a slow device."""
    key = "accuracy" if offline["unsplit_accuracy"] is not None else "agreement"
    rows: list[dict[str, Any]] = []
    answers: dict[str, str] = {}
    for point in offline["points"]:
        console.print(f"operating point {point['id']} from two devices ...")
        fleet = run_devices(scene.device(address, "--point", str(point["id"])), scene.paths)
        rows.append({"id": point["id"]} | fig.fleet_figures(fleet, scene.truth, reference))
        answers = answers or fig.answers(fleet)  # the finest point's, for the report
    chosen = _recommended(Manifest.load(scene.options.bundle))
    target = next(p[key] for p in offline["points"] if p["id"] == chosen)
    uploads = {}
    for codec in ("jpeg", "webp"):
        quality = fig.equal_quality(offline[codec], target, key)
        console.print(f"{codec} at quality {quality}, as accurate as point {chosen} ...")
        fleet = run_devices(scene.device(address, "--upload", f"{codec}:{quality}"), scene.paths)
        uploads[codec] = {"quality": quality} | fig.fleet_figures(fleet, scene.truth, reference)
    return {
        "points": rows,
        "recommended_point": chosen,
        "uploads": uploads,
        "slow_device": _slow_device(scene, address, chosen, uploads, reference, console),
        "answers": answers,
    }


def _recommended(manifest: Manifest) -> int:
    """By the bundle's own measurement: a demonstration's few photographs are too few to choose."""
    return fig.recommended(manifest.operating_points, manifest.unsplit_scores_of)


def _slow_device(
    scene: Scene,
    address: str,
    point: int,
    uploads: dict,
    reference: dict[str, str],
    console: Console,
) -> dict[str, Any]:
    """One device on a quarter of a core: split, upload, or alone."""
    paths = scene.paths[:: max(1, len(scene.paths) // 40)]
    ways = {
        "split": scene.device(address, "--point", str(point)),
        "jpeg": scene.device(address, "--upload", f"jpeg:{uploads['jpeg']['quality']}"),
        "device_only": scene.local(),
    }
    found: dict[str, Any] = {}
    for way, arguments in ways.items():
        console.print(f"{way.replace('_', ' ')} with {SLOW_DEVICE:g} of a core ...")
        fleet = run_devices(arguments, paths, count=1, share=SLOW_DEVICE)
        found[way] = fig.fleet_figures(fleet, scene.truth, reference)["latency_ms"]
        found["limited"] = fleet.limited
    return found


@contextmanager
def serving(bundle: Path, executor: str, replicas: int) -> Iterator[str]:
    """A server process; yields its address once it is ready."""
    command = [
        sys.executable,
        "-m",
        "narrows",
        "serve",
        str(bundle),
        "--json",
        "--port",
        "0",
    ]
    command += ["--executor", executor, "--replicas", str(replicas)]
    with _ready_process(command, "the server") as ready:
        yield ready["address"]


@contextmanager
def _ready_process(command: list[str], what: str) -> Iterator[dict[str, Any]]:
    """A process that prints one JSON line when it is ready, and stops on SIGTERM."""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                if not line:
                    errors.seek(0)
                    raise LinkError(f"{what} did not start: {errors.read().strip()[-2000:]}")
                yield json.loads(line)
            finally:
                process.terminate()
                process.wait()


def linked(server: str, link: str | None):  # type: ignore[no-untyped-def]
    """The address devices use: the server's, or a shaping relay's in front of it."""
    return nullcontext(server) if link is None else _relay(server, link)


@contextmanager
def _relay(server: str, link: str) -> Iterator[str]:
    command = [sys.executable, "-m", "narrows.simulations.links.relay", server, link, "--json"]
    with _ready_process(command, "the relay") as ready:
        yield ready["address"]
