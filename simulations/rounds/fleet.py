"""`narrows bench fleet`: what rounds do for cameras that see unlike things, and for the rest.

Three quarters of a fleet take part, over the app, strategy and messages that a deployment has, in
this process. Both parts' photographs that nobody learnt from, and the set's own, unworn, are then
coded and answered with the bundle before and after.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.federated.client_app import app
from narrows.federated.journal import read_journal
from narrows.federated.measuring import Figures, measure
from narrows.federated.network import Network
from narrows.federated.photographs import Own, Place, load, own_photographs
from narrows.federated.recipe import load_rounds_recipe
from narrows.federated.rounds import run_rounds
from narrows.federated.settings import ServerSettings
from narrows.images.labelled import LabelledImages
from narrows.simulations.evaluation import evenly
from narrows.simulations.rate_distortion.statistics import bytes_at
from narrows.simulations.rounds.cameras import CONDITIONS, make_cameras
from narrows.simulations.rounds.nodes import Nodes

PARTS = ("own", "others", "clear")  # of the cameras that took part, of the rest, the set as it is
CLEAR = 300  # photographs of the set as it is


@dataclass(frozen=True)
class Asked:
    """What is asked for."""

    bundle: Path
    data: Path
    folder: Path  # cameras, the new bundle and its journal; cameras that stand there are taken
    each: int  # cameras of every condition
    seen: int  # photographs of each camera, to learn from
    kept: int  # and to measure with
    alpha: float
    rounds: int
    share: float
    recipe: str
    seed: int


def run_fleet_bench(asked: Asked, as_json: bool) -> None:
    """Make the fleet, run the rounds, measure, print. Raises NarrowsError."""
    taking, others = _fleet(asked)
    out = asked.folder / "bundle"
    if out.exists():
        raise ConfigError(f"{out}: is there already: name another folder")
    phase = load_rounds_recipe(asked.recipe).local
    settings = {
        "bundle": str(asked.bundle), "recipe": asked.recipe, "data": str(asked.folder / "taking"),
        "partition": "folders", "out": str(out), "rounds": asked.rounds, "seed": asked.seed,
        "least-clients": 2, "clients-per-round": asked.share, "timeout-seconds": 60.0,
    }  # fmt: skip
    messages = len(taking) * 3 + round(len(taking) * asked.share) * asked.rounds
    with Progress(console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task("rounds", total=2 * messages)
        nodes = Nodes(len(taking), app)
        for context in nodes.contexts.values():
            context.run_config = dict(settings)
        nodes.heard = lambda message: bar.advance(task)
        run_rounds(nodes, ServerSettings.of(settings))
    clear = _clear(asked.data)
    found: dict[str, Any] = {}
    for when, bundle in (("before", asked.bundle), ("after", out)):
        network = Network.load(bundle, phase)
        found[when] = {
            part: _points([measure(network, load(own, own.kept, network.manifest)) for own in owns])
            for part, owns in zip(PARTS, (_owns(taking), _owns(others), [clear]), strict=True)
        }
    figures = found | {"ratio": {part: _ratio(found, part) for part in PARTS}} | _told(asked, out)
    print(json.dumps(figures)) if as_json else _print(figures)


def _fleet(asked: Asked) -> tuple[list[Path], list[Path]]:
    """Folders of the cameras that take part, and of the others."""
    made, taking, others = (asked.folder / name for name in ("made", "taking", "others"))
    if not taking.exists():
        shutil.rmtree(made, ignore_errors=True)
        cameras = make_cameras(
            LabelledImages(asked.data), made, asked.each, asked.seen, asked.kept, asked.alpha,
            asked.seed,
        )  # fmt: skip
        rest = len(CONDITIONS) * max(1, asked.each // 4)
        for folder, chosen in ((others, cameras[-rest:]), (taking, cameras[:-rest])):
            folder.mkdir()
            for camera in chosen:
                camera.rename(folder / camera.name)
        made.rmdir()
    return sorted(taking.iterdir()), sorted(others.iterdir())


def _owns(cameras: list[Path]) -> list[Own]:
    return [own_photographs(Place(camera)) for camera in cameras]


def _clear(data: Path) -> Own:
    images = LabelledImages(data)
    return Own((), tuple(evenly(images.of_part("val"), CLEAR)), images)


def _points(found: list[Figures]) -> dict[str, Any]:
    photographs = sum(figures.photographs for figures in found)
    sizes = np.sum([figures.packet_bytes for figures in found], axis=0) / photographs
    right = np.sum([figures.right for figures in found], axis=0) / photographs
    return {"photographs": photographs, "bytes": sizes.tolist(), "accuracy": right.tolist()}


def _ratio(found: dict[str, Any], part: str) -> dict[str, float | None]:
    """Bytes after over before, at each accuracy that a point had before; None: not reached."""
    before, after = (
        list(zip(found[when][part]["bytes"], found[when][part]["accuracy"], strict=True))
        for when in ("before", "after")
    )
    ratios: dict[str, float | None] = {}
    for _, accuracy in before:
        now, then = bytes_at(after, accuracy), bytes_at(before, accuracy)
        ratios[f"{accuracy:.3f}"] = None if now is None or then is None else now / then
    return ratios


def _told(asked: Asked, out: Path) -> dict[str, Any]:
    events = read_journal(out.with_name(out.name + ".rounds"))
    rounds = [event for event in events if event["event"] == "round"]
    return {
        "rounds": len(rounds),
        "cameras": events[0]["clients"],
        "bytes_up": sum(event["bytes_up"] for event in rounds),
        "bytes_down": sum(event["bytes_down"] for event in rounds),
        "recipe": asked.recipe,
        "bundle": Manifest.load(out).digest,
    }


def _print(figures: dict[str, Any]) -> None:
    console = Console()
    for part in PARTS:
        before, after = figures["before"][part], figures["after"][part]
        title = f"{part}: {after['photographs']} photographs"
        table = Table(
            "point", "bytes", "after", "right", "after", "bytes at its accuracy", title=title
        )
        rows = zip(
            before["bytes"], after["bytes"], before["accuracy"], after["accuracy"], strict=True
        )
        for point, (size, size_now, right, right_now) in enumerate(rows):
            ratio = figures["ratio"][part][f"{right:.3f}"]
            table.add_row(
                str(point), f"{size:.0f}", f"{size_now:.0f}", f"{100 * right:.1f} %",
                f"{100 * right_now:.1f} %", "-" if ratio is None else f"{ratio:.2f} x",
            )  # fmt: skip
        console.print(table)
