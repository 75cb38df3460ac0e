"""`narrows bench tail`: every way this machine can run a bundle's tail, as ratios to eager float32.

Each runs whole: the core its own way, then the heads of all tasks and the reading of their answers.
"""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from narrows.codec.manifest import Manifest, Precision
from narrows.models.bundle import TailRunner, load_tail
from narrows.models.cores import Core, eager_core, find_device
from narrows.models.tail_builds import TailBuilds
from narrows.simulations.bench.race import machine, race

BATCHES = (1, 8)


def run_tail_bench(
    bundle: Path, device: str, threads: int, build: bool, as_json: bool, rounds: int = 15
) -> None:
    """Measure and print. `build`: make the compiled ways first. Raises NarrowsError."""
    torch.set_num_threads(threads)
    manifest, where = Manifest.load(bundle), find_device(device)
    runner = load_tail(bundle, where.type)
    builds = TailBuilds(bundle, manifest, where)
    cores: list[Core] = []
    for precision in get_args(Precision):
        compiled = builds.make(precision) if build else builds.load(precision)
        cores += [eager_core(runner.tail, precision), *([compiled] if compiled else [])]
    rows = [row for batch in BATCHES for row in _rows(runner, manifest, cores, batch, rounds)]
    found = {"bundle": manifest.name, "threads": threads, "device": where.type, "rows": rows}
    found |= {"torch": torch.__version__, "allowed": manifest.tail_precisions, **machine()}
    print(json.dumps(found)) if as_json else _print(found)


def _rows(
    runner: TailRunner, manifest: Manifest, cores: list[Core], batch: int, rounds: int
) -> list[dict[str, Any]]:
    side = max(1, manifest.input.short_side // manifest.input.stride)
    shape = (batch, manifest.latent.channels, side, side)
    latents = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    tasks, sizes = frozenset(manifest.labels_of), [(0, 0)] * batch

    def run(core: Core) -> None:
        runner.core = core
        runner.answers(latents, sizes, tasks)

    times = race({str(core.way): lambda core=core: run(core) for core in cores}, rounds)  # type: ignore[misc]
    first = times[str(cores[0].way)]
    return [
        {"batch": batch, "way": way, "ms": ms, "ratio": ms / first} for way, ms in times.items()
    ]


def _print(found: dict[str, Any]) -> None:
    title = f"{found['bundle']}, {found['threads']} threads on {found['cpu']}, {found['device']}"
    table = Table("frames", "way", "ms", "ratio", title=title)
    for row in found["rows"]:
        table.add_row(str(row["batch"]), row["way"], f"{row['ms']:.1f}", f"{row['ratio']:.2f}")
    Console().print(table)
