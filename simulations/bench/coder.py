"""The entropy coder beside its peers: the same symbols, one run, at three rates.

Ours is timed from a float32 latent to payload bytes and back to a float32 latent, one thread.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from narrows.errors import NarrowsError
from narrows.kernels import coder
from narrows.simulations.bench.coder_peers import (
    PEERS,
    Coder,
    bottleneck_coder,
    compressai_bottleneck,
)
from narrows.simulations.bench.coder_report import plot_coders, print_coders
from narrows.simulations.bench.coder_workload import BATCH, REGIMES, SHAPE, Workload, make_workload
from narrows.simulations.bench.race import ROUNDS, machine, race, scaling

OURS = "narrows"
TOP = "mid"  # the regime whose figures stand first
Shape = tuple[int, int, int]


def run_coder_bench(as_json: bool, plot: Path | None, threads: int) -> None:
    """Measure, print, and draw."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("coding", total=len(REGIMES) * (ROUNDS + 1))
        found = bench_coder(threads, step=lambda: progress.advance(task))
    print(json.dumps(found)) if as_json else print_coders(found)
    if plot is not None:
        plot_coders(found, plot)


def bench_coder(
    threads: int, shape: Shape = SHAPE, rounds: int = ROUNDS, step: Callable[[], Any] = lambda: None
) -> dict[str, Any]:
    """Speed and size of every coder at every rate: docs/benchmarks.md names the fields.

    `threads`: how many Python threads the scaling figure compares with one.
    """
    regimes = {}
    for regime, scales in REGIMES.items():
        work = make_workload(scales, shape)
        contenders, missing = _contenders(work)
        regimes[regime] = _results(work, contenders, rounds, step)
        if regime == TOP:
            scalings = {name: _scaling(work, name, threads) for name in contenders}
        step()
    isas = {isa: _own_child(isa, shape, rounds) for isa in coder.instruction_sets()}
    top = regimes[TOP]
    ours = {key: top["coders"][OURS][key] for key in ("encode_msym_s", "decode_msym_s")}
    return {
        **machine(),
        "shape": list(shape),
        "symbols": int(np.prod(shape)),
        **ours,
        "bits_per_symbol": top["coders"][OURS]["bits_per_symbol"],
        "entropy_bits_per_symbol": top["entropy_bits_per_symbol"],
        "peers": {name: top["coders"][name] for name in PEERS if name in top["coders"]},
        "missing": missing,
        "scaling": {"threads": threads, **scalings},
        "regimes": regimes,
        "isas": isas,
    }


def own_speeds(shape: Shape, rounds: int) -> dict[str, Any]:
    """Ours alone, at every rate, with the instruction set this process has."""
    found = {}
    for regime, scales in REGIMES.items():
        work = make_workload(scales, shape)
        contenders = {name: make(work) for name, make in OWN.items()}
        found[regime] = _results(work, contenders, rounds, lambda: None)["coders"]
    return found


def _own_child(isa: str, shape: Shape, rounds: int) -> dict[str, Any]:
    """`own_speeds` in a process of its own: an instruction set is chosen once, at start."""
    code = f"import json, {__name__} as b; print(json.dumps(b.own_speeds({shape}, {rounds})))"
    environment = os.environ | {"NARROWS_ISA": isa}
    child = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    if child.returncode:
        raise NarrowsError(f"the {isa} coder could not be measured: {child.stderr.strip()[-500:]}")
    speeds: dict[str, Any] = json.loads(child.stdout)
    return speeds


def _contenders(work: Workload) -> tuple[dict[str, Coder], dict[str, str]]:
    """Everyone who is here, and why the others are not."""
    found, missing = {}, {}
    for name, make in EVERYONE.items():
        try:
            found[name] = make(work)
        except (ImportError, OSError, RuntimeError) as error:  # torchac compiles when imported
            missing[name] = str(error).splitlines()[0]
    return found, missing


def _fused(images: int) -> Callable[[Workload], Coder]:
    def make(work: Workload) -> Coder:
        """Ours, `images` a call; several are decoded together."""
        tables, ones = work.tables.arrays, np.ones_like(work.medians)
        latents, (height, width) = work.latents[:images], work.latents.shape[2:]
        out = np.empty_like(latents)

        def encode() -> list[tuple[bytes, int, int]]:
            coded = [coder.encode_latent(y, ones, work.medians, tables) for y in latents]
            return [(c.payload, c.lanes, c.tail) for c in coded]

        def decode(coded: list[tuple[bytes, int, int]]) -> Any:
            return coder.decode_latents(coded, tables, ones, work.medians, height, width, 1, out)[0]

        return Coder(
            encode,
            decode,
            lambda coded: sum(len(payload) for payload, _, _ in coded),
            lambda found: np.rint(found - work.medians[:, None, None]),
            images=images,
            takes="latents",
        )

    return make


def _ours_in_compressai(work: Workload) -> Coder:
    from narrows.codec.compressai import accelerate

    return bottleneck_coder(accelerate(compressai_bottleneck(work)), work)


OWN = {OURS: _fused(1), f"{OURS} x{BATCH}": _fused(BATCH)}
EVERYONE = OWN | {f"{OURS} in compressai": _ours_in_compressai} | PEERS


def _results(
    work: Workload, contenders: dict[str, Coder], rounds: int, step: Callable[[], Any]
) -> dict[str, Any]:
    coded = {name: c.encode() for name, c in contenders.items()}
    for name, contender in contenders.items():
        _verify(name, contender, coded[name], work)
    encode_ms = race({n: c.encode for n, c in contenders.items()}, rounds, step)
    decode_ms = race({n: partial(c.decode, coded[n]) for n, c in contenders.items()}, rounds)
    symbols, ideal = work.symbols[0].size, work.ideal_bits()
    rows: dict[str, dict[str, Any]] = {}
    for name, contender in contenders.items():
        one = contender.images
        bits = 8 * contender.size(coded[name]) / one
        rows[name] = {
            "takes": contender.takes,
            "encode_ms": encode_ms[name] / one,
            "decode_ms": decode_ms[name] / one,
            "encode_msym_s": symbols * one / encode_ms[name] / 1e3,
            "decode_msym_s": symbols * one / decode_ms[name] / 1e3,
            "bytes": bits / 8,
            "bits_per_symbol": bits / symbols,
        }
        if one == 1:
            rows[name]["over_ideal_percent"] = 100 * (bits / ideal - 1)
    for row in rows.values():
        row["encode_times_ours"] = row["encode_ms"] / rows[OURS]["encode_ms"]
        row["decode_times_ours"] = row["decode_ms"] / rows[OURS]["decode_ms"]
    return {
        "entropy_bits_per_symbol": work.entropy_bits,
        "ideal_bits_per_symbol": ideal / symbols,
        "table_bits_per_symbol": work.tables.cost_bits(work.symbols[0]) / symbols,
        "coders": rows,
    }


def _verify(name: str, contender: Coder, coded: Any, work: Workload) -> None:
    """A coder that loses symbols is not in the race."""
    found = np.ravel(contender.symbols(contender.decode(coded)))
    if not np.array_equal(found, work.symbols[: contender.images].ravel()):
        raise NarrowsError(
            f"{name} does not decode what it encoded: its figures would mean nothing"
        )


def _scaling(work: Workload, name: str, threads: int) -> dict[str, float]:
    contenders = [EVERYONE[name](work) for _ in range(threads)]
    return {
        "encode": scaling([c.encode for c in contenders]),
        "decode": scaling([partial(c.decode, c.encode()) for c in contenders]),
    }
