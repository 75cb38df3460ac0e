"""The head beside its peers: one picture, one run, the shipped network and Entropic Student's."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from narrows.errors import NarrowsError
from narrows.kernels import BACKEND, cuda
from narrows.kernels.cuda.head import Head as CudaHead
from narrows.kernels.head import Head
from narrows.models.quantise import quantise_head
from narrows.simulations.bench.head_device import (
    device_process,
    device_sender,
    torch_and_compressai,
    torch_process,
)
from narrows.simulations.bench.head_litert import litert
from narrows.simulations.bench.head_networks import (
    CALIBRATION_PICTURES,
    SIDE,
    Network,
    entropic_student,
    photographs,
    shipped_network,
)
from narrows.simulations.bench.head_onnx import onnx_runtime, openvino
from narrows.simulations.bench.head_report import plot_heads, print_heads
from narrows.simulations.bench.head_torch import torch_compiled, torch_eager
from narrows.simulations.bench.race import ROUNDS, machine, race

OURS, STUDENT = "narrows", "torch + compressai"
MAX_ERROR = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.1}  # of the latent's root mean square
PEAK_SIDE = 1536
Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Family = Callable[[Network, int], dict[str, Run]]  # precision -> run


def _ours(network: Network, threads: int) -> dict[str, Run]:
    """The native head, on its caller's thread whatever `threads` says."""
    if BACKEND != "native":
        raise ImportError("the extension is not built here")
    pictures = photographs(CALIBRATION_PICTURES, network.side)
    integers = quantise_head(network.layers, network.tensors, pictures)
    return {"fp32": Head(network.layers, network.tensors).run, "int8": Head(*integers).run}


def _ours_on_gpu(network: Network, threads: int) -> dict[str, Run]:
    """The same int8 head on an NVIDIA GPU, copies there and back included."""
    if not cuda.available():
        raise ImportError("no GPU, or built without CUDA")
    pictures = photographs(CALIBRATION_PICTURES, network.side)
    return {"int8": CudaHead(*quantise_head(network.layers, network.tensors, pictures)).run}


FAMILIES: dict[str, Family] = {
    OURS: _ours,
    "narrows on the GPU": _ours_on_gpu,
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
    "litert": litert,
    "torch": torch_eager,
}
COMPILED: dict[str, Family] = {"torch compiled": torch_compiled}


def run_head_bench(
    bundle: Path, as_json: bool, plot: Path | None, threads: int, compiled: bool
) -> None:
    """Measure, print, and draw; `threads` 0 is all cores."""
    families = FAMILIES | (COMPILED if compiled else {})
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("heads", total=2 * ROUNDS)
        step = partial(progress.advance, task)
        found = bench_head(bundle, threads or os.cpu_count() or 1, families, step=step)
    print(json.dumps(found)) if as_json else print_heads(found)
    if plot is not None:
        plot_heads(found, plot)


def bench_head(
    bundle: Path,
    threads: int,
    families: dict[str, Family] = FAMILIES,
    side: int = SIDE,
    rounds: int = ROUNDS,
    step: Callable[[], Any] = lambda: None,
) -> dict[str, Any]:
    """Milliseconds per picture of every runtime and precision: docs/benchmarks.md names the fields.

    Raises:
        BundleError: the bundle does not hold together.
        NarrowsError: a runtime computes something else than the others.
    """
    shipped = _results(shipped_network(bundle, side), families, threads, rounds, step)
    student = _results(entropic_student(side), families, threads, rounds, step)
    image = photographs(1, side)[0]
    senders, absent = {OURS: device_sender(bundle, threads)}, {}
    try:
        senders[STUDENT] = torch_and_compressai(threads)
        costs = {STUDENT: torch_process()}
    except ImportError as error:
        costs, absent = {}, {STUDENT: str(error)}
    sending_ms = race({name: partial(send, image) for name, send in senders.items()}, rounds)
    if STUDENT in sending_ms:
        sent = {"device_path_ms": sending_ms[STUDENT], **costs[STUDENT]}
        student["peers"][STUDENT] = sent
    return {
        **machine(),
        "threads": threads,
        "side": side,
        **shipped,
        "device_path_ms": sending_ms[OURS],
        **device_process(bundle),
        "missing": shipped["missing"] | absent,
        "entropic_student": student,
        "peak_gflop_s": _peak_gflop_s(threads),
    }


def _results(
    network: Network,
    families: dict[str, Family],
    threads: int,
    rounds: int,
    step: Callable[[], Any],
) -> dict[str, Any]:
    runs, missing = _loaded(network, families, threads)
    image = photographs(1, network.side)[0]
    errors = _verified({key: run(image) for key, run in runs.items()})
    names = {f"{family} {precision}": (family, precision) for family, precision in runs}
    calls = {name: partial(runs[key], image) for name, key in names.items()}
    milliseconds = race(calls, rounds, step)
    peers: dict[str, dict[str, float]] = {family: {} for family, _ in runs}
    for name, (family, precision) in names.items():
        peers[family][f"{precision}_ms"] = milliseconds[name]
        peers[family][f"{precision}_error"] = errors[family, precision]
    ours = peers.pop(OURS, {})
    return {
        "fp32_ms": None,  # where the extension is not built
        "int8_ms": None,
        **ours,
        "gflop": network.flops() / 1e9,
        "peers": peers,
        "missing": missing,
    }


def _loaded(
    network: Network, families: dict[str, Family], threads: int
) -> tuple[dict[tuple[str, str], Run], dict[str, str]]:
    """Every runtime that is here, by family and precision; and why the others are not."""
    runs: dict[tuple[str, str], Run] = {}
    missing = {}
    for family, load in families.items():
        try:
            loaded = load(network, threads)
        except ImportError as error:
            missing[family] = str(error)
        else:
            runs |= {(family, precision): run for precision, run in loaded.items()}
    return runs, missing


def _verified(latents: dict[tuple[str, str], NDArray[np.float32]]) -> dict[tuple[str, str], float]:
    """Each one's error against ONNX Runtime's fp32, in the latent's root mean square."""
    expected = latents["onnxruntime", "fp32"].astype(np.float64)
    errors = {}
    for (family, precision), latent in latents.items():
        if latent.shape != expected.shape:
            raise NarrowsError(f"{family} gives {latent.shape}, expected {expected.shape}")
        difference = np.sqrt(np.mean((latent - expected) ** 2) / np.mean(expected**2))
        if not difference <= MAX_ERROR[precision]:
            raise NarrowsError(
                f"{family} in {precision} is {difference:.2g} off ONNX Runtime's fp32, expected at "
                f"most {MAX_ERROR[precision]}: it computes another network"
            )
        errors[family, precision] = float(difference)
    return errors


def _peak_gflop_s(threads: int) -> float | None:
    """What this machine reaches in a large fp32 matrix product by torch, in this run."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    a, b = torch.rand(2, PEAK_SIDE, PEAK_SIDE)
    milliseconds = race({"sgemm": lambda: torch.mm(a, b)}, rounds=5)["sgemm"]
    return 2 * PEAK_SIDE**3 / milliseconds / 1e6
