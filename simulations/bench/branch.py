"""`narrows bench branch`: what it costs the server where task heads leave the shared body.

The earlier a head branches off, the more of the body it has for itself: weights to hold and stages
to run once more for every task asked. Packet and device are the same wherever it is. Bundles
trained at different branches are scored side by side; without any, the networks are untrained.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages
from narrows.models.tail import CLASSIFICATION, Tail, build_tail, outputs
from narrows.simulations.bench.race import machine, race
from narrows.simulations.scene_evaluation import measured_scenes
from narrows.training.recipe import load_recipe

LABELS = 10  # of every task, where nothing was trained


def run_branch_bench(
    recipe: str,
    bundles: Sequence[Path],
    data: Sequence[Path],
    limit: int | None,
    as_json: bool,
) -> None:
    """Measure and print. Raises NarrowsError."""
    if bundles and not data:
        raise ConfigError("--bundles are scored on photographs: give --data")
    configs = _trained(bundles) if bundles else _untrained(recipe)
    sets = [AnnotatedImages(path) for path in data]
    rows = []
    for name, (config, side) in configs.items():
        row = {"name": name, "branch": _branch(config)} | _cost(config, side)
        if bundles:
            figures = measured_scenes(Path(name), sets, "val", limit, codecs=())
            row |= {"unsplit_scores": figures["unsplit_scores"], "points": figures["points"]}
        rows.append(row)
    found = machine() | {"branches": rows}
    print(json.dumps(found)) if as_json else _print(rows)


def _untrained(name: str) -> dict[str, tuple[dict[str, Any], int]]:
    """The recipe's tail with all its heads at every branch there is."""
    recipe = load_recipe(name)
    if not recipe.tasks:
        raise ConfigError(f"recipe {name!r} has no tasks: choose one such as scene")
    stages = 4 if recipe.stride == 4 else 3
    found = {}
    for branch in range(1, stages + 1):
        tasks = {
            task: head.head | {"labels": LABELS, "branch": branch}
            for task, head in recipe.tasks.items()
        }
        config = {
            "backbone": recipe.backbone, "labels": LABELS, "stride": recipe.stride,
            "channels": 64, "decoder": recipe.decoder, "tasks": tasks,
        }  # fmt: skip
        found[f"branch {branch}"] = (config, recipe.side)
    return found


def _trained(bundles: Sequence[Path]) -> dict[str, tuple[dict[str, Any], int]]:
    manifests = {str(path): Manifest.load(path) for path in bundles}
    return {name: (m.tail, m.input.short_side) for name, m in manifests.items()}


def _branch(config: dict[str, Any]) -> dict[str, int | None]:
    return {task: head.get("branch") for task, head in config.get("tasks", {}).items()}


@torch.no_grad()
def _cost(config: dict[str, Any], side: int) -> dict[str, Any]:
    """Weights, multiply-adds and milliseconds of the tail for one answer, two, three."""
    tail = build_tail(config).eval().to(memory_format=torch.channels_last)
    wanted = [CLASSIFICATION, *config.get("tasks", {})]
    latent = torch.randn(1, config["channels"], side // 16, side // 16)
    if tail.decoder(latent).shape[2] != side // config["stride"]:
        latent = torch.randn(1, config["channels"], side // 8, side // 8)
    subsets = {", ".join(wanted[:n]): wanted[:n] for n in range(1, len(wanted) + 1)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    calls = {name: (lambda s=subset: _run(tail, latent, s)) for name, subset in subsets.items()}  # type: ignore[misc]
    times = race(calls)
    torch.set_num_threads(threads)
    return {
        "parameters": sum(p.numel() for p in tail.parameters()),
        "macs": {name: _macs(tail, latent, subset) for name, subset in subsets.items()},
        "tail_ms": times,
    }


def _run(tail: Tail, latent: Tensor, wanted: Sequence[str]) -> None:
    with torch.no_grad():
        outputs(tail, tail.decoder(latent), wanted)


def _macs(tail: Tail, latent: Tensor, wanted: Sequence[str]) -> int:
    with FlopCounterMode(display=False) as counter:
        _run(tail, latent, wanted)
    return counter.get_total_flops() // 2


def _print(rows: Sequence[dict[str, Any]]) -> None:
    console = Console()
    table = Table("heads branch", "M weights", "answers", "M MACs", "tail ms")
    for row in rows:
        for number, name in enumerate(row["macs"]):
            first = (row["name"], f"{row['parameters'] / 1e6:.2f}") if not number else ("", "")
            macs, ms = row["macs"][name] / 1e6, row["tail_ms"][name]
            table.add_row(*first, name, f"{macs:,.0f}", f"{ms:.1f}")
    console.print(table)
    for row in rows:
        if "unsplit_scores" in row:
            scores = ", ".join(f"{t} {s:.1%}" for t, s in row["unsplit_scores"].items())
            console.print(f"{row['name']}: unsplit {scores}")
