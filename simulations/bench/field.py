"""`narrows bench field`: the product modulo p beside float64 limbs, and what plain floats take.

All in one process, in turns, on as many threads each: BLAS is told at its start, so that the race
is run by a child.
"""

import json
import os
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from narrows.errors import NarrowsError
from narrows.kernels import coder, field
from narrows.simulations.bench.race import ROUNDS, Call, machine, race

OURS = "narrows"
LIMBS = "limbs"
SHAPES = {  # rows of weights or samples, depth, columns
    "layer": (64, 784, 64),
    "square": (512, 512, 512),
    "decode": (1, 50, 4096 * 64),  # 4,096 sums of 64 numbers from 50 parties
    "decode 16": (16, 50, 256 * 64),  # the same in 16 partitions
}
TOP = "square"  # whose rates stand first
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

Shape = tuple[int, int, int]


def run_field_bench(as_json: bool, threads: int) -> None:
    """Measure and print. Raises NarrowsError."""
    code = (
        f"import json, {__name__} as b; print(json.dumps(b.bench_field(b.SHAPES, {threads}, "
        f"{ROUNDS})))"
    )
    environment = os.environ | dict.fromkeys(BLAS_THREADS, str(threads))
    child = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    if child.returncode:
        raise NarrowsError(f"the product could not be measured: {child.stderr.strip()[-500:]}")
    found = json.loads(child.stdout)
    print(json.dumps(found)) if as_json else print_field(found)


def bench_field(shapes: dict[str, Shape], threads: int, rounds: int) -> dict[str, Any]:
    """Every shape with both primes: docs/benchmarks.md names the fields."""
    rows = [
        _row(name, shape, p, threads, rounds)
        for name, shape in shapes.items()
        for p in (field.P31, field.P61)
    ]
    top = next(row for row in rows if row["name"] == TOP and row["bits"] == 61)
    return {
        **machine(),
        "threads": threads,
        "field_gemm_gops": top["gops"],
        "sgemm_gflops": _gops(top["shape"], top["ms"]["float32"]),
        "decode_ms": next(r["ms"][OURS] for r in rows if r["name"] == "decode" and r["bits"] == 61),
        "rows": rows,
    }


def _row(name: str, shape: Shape, p: int, threads: int, rounds: int) -> dict[str, Any]:
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, p, (m, k), np.uint64), rng.integers(0, p, (k, n), np.uint64)
    calls: dict[str, Call] = {OURS: partial(field.matmul, a, b, p, threads)}
    for isa in coder.instruction_sets()[:-1]:
        calls[f"{OURS} {isa}"] = partial(field.matmul, a, b, p, threads, isa)
    calls[LIMBS] = partial(field.matmul_limbs, a, b, p)
    expected = calls[LIMBS]()
    for way, call in calls.items():
        if not np.array_equal(call(), expected):
            raise NarrowsError(f"{way} computes another product: its figures would mean nothing")
    for dtype in (np.float32, np.float64):  # as many multiply-adds, of numbers that fit
        floats = [(factor / p).astype(dtype) for factor in (a, b)]
        calls[np.dtype(dtype).name] = partial(np.matmul, *floats)
    ms = race(calls, rounds)
    return {
        "name": name,
        "shape": shape,
        "bits": p.bit_length(),
        "ms": ms,
        "times_ours": {way: time / ms[OURS] for way, time in ms.items()},
        "gops": _gops(shape, ms[OURS]),
    }


def _gops(shape: Shape, ms: float) -> float:
    """A multiplication and an addition are two."""
    return 2 * float(np.prod(shape)) / ms / 1e6


def print_field(found: dict[str, Any]) -> None:
    """Every shape and prime; times as multiples of ours."""
    ways = list(found["rows"][0]["ms"])
    title = (
        f"products modulo 2^bits - 1, {found['threads']} threads, {found['isa']}, {found['cpu']}"
    )
    table = Table("", "shape", "bits", "ms", *ways[1:], "Gop/s", title=title)
    for row in found["rows"]:
        table.add_row(
            row["name"],
            "x".join(map(str, row["shape"])),
            str(row["bits"]),
            f"{row['ms'][OURS]:.2f}",
            *(f"{row['times_ours'][way]:.2f}x" for way in ways[1:]),
            f"{row['gops']:.1f}",
        )
    console = Console()
    console.print(table)
    console.print(f"float32 by BLAS, {TOP}: {found['sgemm_gflops']:.0f} GFLOP/s")
