"""The fastest way to run a tail on this machine, of those that are accurate enough: measured once.

The cached choice names the ways that competed; where others do, it is made anew.
"""

import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import perf_counter
from typing import get_args

import torch
from torch import Tensor

from narrows.codec.manifest import Manifest, Precision
from narrows.models.cores import Core, eager_core
from narrows.models.tail import Tail
from narrows.models.tail_builds import TailBuilds
from narrows.models.tail_options import TailOptions

log = logging.getLogger(__name__)
ROUNDS = 7
WORTH = 0.95  # of the first way's time: what another must do better than
SLACK = {"cpu": 1e-4, "cuda": 5e-3}  # of the largest output; TF32 on a GPU


@dataclass(frozen=True)
class Load:
    """What a replica will run: threads, and the most frames at once."""

    threads: int
    max_batch: int


def choose_core(
    tail: Tail, bundle: Path, manifest: Manifest, device: torch.device, options: TailOptions,
    load: Load,
) -> Core:  # fmt: skip
    """The core to serve with. Builds what `options` ask for; falls back to eager, with a log line.

    Raises nothing but what running the eager network raises.
    """
    asked = get_args(Precision) if options.precision == "auto" else (options.precision,)
    allowed = manifest.tail_precisions if options.precision == "auto" else asked
    precisions = [p for p in asked if p in allowed]
    latents = _latents(manifest, device, load.max_batch)
    eager = [eager_core(tail, precision) for precision in precisions]
    builds = TailBuilds(bundle, manifest, device)
    compiled = [_compiled(builds, options, core, tail, latents) for core in eager]
    whole = [core for core in compiled if core is not None]
    if options.tail == "compiled" and whole:
        return _fastest(whole, latents, builds, load)
    return _fastest(eager + whole, latents, builds, load)


def _compiled(
    builds: TailBuilds, options: TailOptions, eager: Core, tail: Tail, latents: Sequence[Tensor]
) -> Core | None:
    if options.tail == "eager":
        return None
    find = builds.make if options.tail == "compiled" else builds.load
    core = find(eager.way.precision)
    if core is not None and not agrees(core, eager, eager_core(tail), latents):
        log.warning("the %s tail is not used: its outputs differ from the eager one's", core.way)
        return None
    return core


@torch.inference_mode()
def agrees(core: Core, eager: Core, exact: Core, latents: Sequence[Tensor]) -> bool:
    """Whether a core errs no more than twice as much as the eager one of its precision."""
    for latent in latents:
        for found, same, true in zip(core(latent), eager(latent), exact(latent), strict=True):
            limit = 2 * _distance(same, true) + SLACK[latent.device.type] * _distance(
                true, 0 * true
            )
            if found.shape != true.shape or not _distance(found, true) <= limit:
                return False
    return True


def _distance(found: Tensor, true: Tensor) -> float:
    return float((found.float() - true.float()).abs().max())


def _latents(manifest: Manifest, device: torch.device, max_batch: int) -> list[Tensor]:
    """Noise of a square picture's size: one frame, and a batch."""
    side = max(1, manifest.input.short_side // manifest.input.stride)
    random = torch.Generator().manual_seed(0)
    shapes = [(n, manifest.latent.channels, side, side) for n in (1, min(8, max_batch))]
    return [torch.randn(shape, generator=random).to(device) for shape in shapes]


def _fastest(
    cores: Sequence[Core], latents: Sequence[Tensor], builds: TailBuilds, load: Load
) -> Core:
    """Of the cores; the first where none is clearly faster."""
    if len(cores) == 1:
        return cores[0]
    by_name = {str(core.way): core for core in cores}
    name, competed = f"choice-{load.threads}-{load.max_batch}.json", sorted(by_name)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((builds.folder / name).read_text())
        if kept["of"] == competed:
            return by_name[kept["chosen"]]
    ratios = measure(cores, latents)
    chosen = min(ratios, key=lambda name: ratios[name])
    if ratios[chosen] > WORTH:
        chosen = str(cores[0].way)
    shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    log.info("the tail runs %s; times as measured here: %s", chosen, shown)
    with contextlib.suppress(OSError):  # then it is measured again
        (builds.open_folder() / name).write_text(
            json.dumps({"of": competed, "chosen": chosen, "ratios": ratios})
        )
    return by_name[chosen]


@torch.inference_mode()
def measure(cores: Sequence[Core], latents: Sequence[Tensor]) -> dict[str, float]:
    """Each way's time over the first one's: geometric mean over the latents.

    Of runs in turn the least counts: a machine that others use too only ever adds.
    """
    ratios: dict[str, list[float]] = {str(core.way): [] for core in cores}
    for latent in latents:
        times: dict[str, list[float]] = {name: [] for name in ratios}
        for turn in range(ROUNDS + 2):
            for core in cores:
                seconds = _timed(core, latent)
                if turn >= 2:
                    times[str(core.way)].append(seconds)
        first = min(times[str(cores[0].way)])
        for name, taken in times.items():
            ratios[name].append(min(taken) / first)
    return {name: prod(found) ** (1 / len(found)) for name, found in ratios.items()}


def _timed(core: Core, latent: Tensor) -> float:
    started = perf_counter()
    core(latent)
    if latent.device.type == "cuda":
        torch.cuda.synchronize(latent.device)
    return perf_counter() - started
