"""The entropy coder beside its peers: the same symbols, one run, interleaved, medians and ratios.

The workload is 24 channels of 55 x 55 Laplace latents, Entropic Student's shape at 224 x 224, at
three rates. A peer that is not installed is left out and named.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.codec.tables import CodingTables
from narrows.kernels import BACKEND, coder

SHAPE = (24, 55, 55)
RATES = {
    "low": (0.08, 0.9),
    "mid": (0.3, 4.0),
    "high": (1.0, 12.0),
}  # Laplace scales, first and last
REACH = 255
REPEATS = 9


@dataclass(frozen=True)
class Workload:
    """Symbols int16 SHAPE and the probabilities they follow."""

    symbols: NDArray[np.int16]
    pmfs: list[NDArray[np.float64]]


@dataclass(frozen=True)
class Contender:
    """One coder: `encode` returns something with a size, which `decode` takes."""

    encode: Callable[[], Any]
    decode: Callable[[Any], NDArray[Any]]
    size: Callable[[Any], int]


def run_coder_bench(as_json: bool) -> None:
    """Measure and print."""
    results = bench_coder()
    print(json.dumps(results)) if as_json else _print(results)


def bench_coder() -> dict[str, Any]:
    """Per rate and coder: bytes, milliseconds (medians) and our speed as a ratio to each peer."""
    found: dict[str, Any] = {"machine": platform.processor() or platform.machine()}
    found |= {"backend": BACKEND, "shape": list(SHAPE), "rates": {}}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("coding", total=len(RATES) * REPEATS)
        for rate, scales in RATES.items():
            contenders, missing = _contenders(_workload(*scales))
            rows = _race(contenders, lambda: progress.advance(task))
            found["rates"][rate] = rows
            found["missing"] = missing
    return found


def _workload(lowest: float, highest: float) -> Workload:
    rng = np.random.default_rng(1)
    scales = np.geomspace(lowest, highest, SHAPE[0])
    values = np.arange(-REACH, REACH + 1)
    pmfs = [np.exp(-np.abs(values) / scale) for scale in scales]
    pmfs = [pmf / pmf.sum() for pmf in pmfs]
    rows = [rng.choice(values, SHAPE[1:], p=pmf) for pmf in pmfs]
    return Workload(np.stack(rows).astype(np.int16), pmfs)


def _contenders(work: Workload) -> tuple[dict[str, Contender], list[str]]:
    found, missing = {"narrows": _narrows(work)}, []
    for name, make in (("compressai", _compressai), ("constriction", _constriction)):
        try:
            found[name] = make(work)
        except ImportError:
            missing.append(name)
    return found, missing


def _narrows(work: Workload) -> Contender:
    tables = CodingTables.from_pmfs(work.pmfs, [-REACH] * SHAPE[0]).arrays

    def decode(coded: coder.EncodedPayload) -> NDArray[np.int16]:
        return coder.decode(coded.payload, tables, *SHAPE[1:], coded.lanes, coded.tail)

    return Contender(lambda: coder.encode(work.symbols, tables), decode, lambda c: len(c.payload))


def _compressai(work: Workload) -> Contender:
    """Its rANS as EntropyBottleneck calls it: Python lists of symbols and table indexes."""
    from compressai._CXX import pmf_to_quantized_cdf
    from compressai.ans import RansDecoder, RansEncoder

    cdfs = [pmf_to_quantized_cdf([*pmf.tolist(), 1e-9], 16) for pmf in work.pmfs]
    sizes, offsets = [len(cdf) for cdf in cdfs], [-REACH] * SHAPE[0]
    indexes = np.repeat(np.arange(SHAPE[0], dtype=np.int32), SHAPE[1] * SHAPE[2])
    symbols = work.symbols.astype(np.int32)

    def encode() -> bytes:
        lists = (symbols.ravel().tolist(), indexes.tolist())
        return bytes(RansEncoder().encode_with_indexes(*lists, cdfs, sizes, offsets))

    def decode(data: bytes) -> NDArray[Any]:
        values = RansDecoder().decode_with_indexes(data, indexes.tolist(), cdfs, sizes, offsets)
        return np.array(values).reshape(SHAPE)

    return Contender(encode, decode, len)


def _constriction(work: Workload) -> Contender:
    import constriction

    models = [constriction.stream.model.Categorical(pmf, perfect=False) for pmf in work.pmfs]
    rows = (work.symbols.reshape(SHAPE[0], -1) + REACH).astype(np.int32)

    def encode() -> NDArray[Any]:
        peer = constriction.stream.stack.AnsCoder()
        for row, model in zip(rows[::-1], models[::-1], strict=True):
            peer.encode_reverse(row, model)
        compressed: NDArray[Any] = peer.get_compressed()
        return compressed

    def decode(data: NDArray[Any]) -> NDArray[Any]:
        peer = constriction.stream.stack.AnsCoder(data)
        return np.stack([peer.decode(m, rows.shape[1]) for m in models]).reshape(SHAPE) - REACH

    return Contender(encode, decode, lambda data: int(data.nbytes))


def _race(contenders: dict[str, Contender], step: Callable[[], Any]) -> list[dict[str, Any]]:
    """Every contender once per round, so that a busy moment of the machine hits all."""
    coded = {name: c.encode() for name, c in contenders.items()}
    first = next(iter(contenders.values())).decode(coded["narrows"])
    assert all(np.array_equal(c.decode(coded[n]), first) for n, c in contenders.items())
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, contender in contenders.items():
            decode = partial(contender.decode, coded[name])
            times[name].append((_ms(contender.encode), _ms(decode)))
        step()
    medians = {n: tuple(statistics.median(t) for t in zip(*times[n], strict=True)) for n in times}
    return [
        {
            "coder": name,
            "bytes": contender.size(coded[name]),
            "encode_ms": medians[name][0],
            "decode_ms": medians[name][1],
            "encode_ratio": medians[name][0] / medians["narrows"][0],
            "decode_ratio": medians[name][1] / medians["narrows"][1],
        }
        for name, contender in contenders.items()
    ]


def _ms(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def _print(found: dict[str, Any]) -> None:
    columns = ("rate", "coder", "bytes", "encode", "decode")
    table = Table(*columns, title=f"{found['backend']} coder; times as multiples of ours")
    for rate, rows in found["rates"].items():
        for row in rows:
            ratios = (f"{row['encode_ratio']:.1f}x", f"{row['decode_ratio']:.1f}x")
            table.add_row(rate, row["coder"], f"{row['bytes']:,}", *ratios)
    Console().print(table)
    for name in found["missing"]:
        print(f"{name} is not installed: pip install 'narrows[train,dev]' to see it beside ours")
