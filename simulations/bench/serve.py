"""`narrows bench serve`: a real server under MLPerf's scenarios, its peers measured in between."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from narrows.errors import ConfigError, LinkError
from narrows.simulations.bench.load import SCENARIOS, Request, write_packets
from narrows.simulations.bench.memory import Memory
from narrows.simulations.bench.race import machine
from narrows.simulations.bench.serving import packets_of, serving

PACKETS = 64
ROUNDS = 3  # of peers around the measurement
PEER_SECONDS = 2.0
LOAD = 0.7  # of what the server can do, in scenario server


@dataclass(frozen=True)
class Asked:
    """What to measure."""

    bundle: Path
    scenario: str
    executor: str
    seconds: float
    streams: int
    window: int
    rate: float | None
    deadline_ms: int
    point: int
    max_batch: int
    threads: int


def run_serve_bench(asked: Asked, as_json: bool) -> None:
    """Start a server and its peers, load them, print. Raises NarrowsError."""
    if asked.scenario not in SCENARIOS:
        raise ConfigError(f"--scenario {asked.scenario}: expected one of {', '.join(SCENARIOS)}")
    with tempfile.TemporaryDirectory() as scratch:
        packets = Path(scratch) / "packets"
        write_packets(packets, packets_of(asked.bundle, asked.point))
        found = _measured(asked, Path(scratch), packets)
    if as_json:
        print(json.dumps(found))
    else:
        _print(found)


def _measured(asked: Asked, scratch: Path, packets: Path) -> dict[str, Any]:
    tails, echoes = [], []
    with _server(asked) as (address, pids), _echo() as echo:
        processes = [psutil.Process(pid) for pid in pids]
        rate = asked.rate or (
            LOAD * _throughput(_load(asked, scratch, packets, address, "offline", PEER_SECONDS, 0))
            if asked.scenario == "server"
            else 0.0
        )
        loop_s, tally = _loop_s(processes), dict[str, Any]()
        with Memory(processes) as memory:
            for number in range(ROUNDS):
                tails.append(_bare_tail(asked, packets))
                told = _load(asked, scratch, packets, echo, "single", PEER_SECONDS, 0, echo=True)
                echoes += told["latencies_ms"]
                share = asked.seconds / ROUNDS
                part = _load(asked, scratch, packets, address, asked.scenario, share, rate, number)
                tally = _joined(tally, part)
        loop_s = _loop_s(processes) - loop_s
    return _figures(asked, tally, tails, echoes, rate) | {
        "loop_ms_per_frame": (
            1e3 * loop_s / max(1, tally["answered"]) if asked.executor == "local" else None
        ),
    } | memory.figures() | {"machine": machine()}  # fmt: skip


def _figures(
    asked: Asked, tally: dict[str, Any], tails: list[float], echoes: list[float], rate: float
) -> dict[str, Any]:
    if not tally["answered"]:
        raise LinkError("the server answered no frame: nothing was measured")
    seconds = tally["seconds"]
    p50, p90, p99 = np.percentile(tally["latencies_ms"], (50, 90, 99))
    return {
        "scenario": asked.scenario, "executor": asked.executor, "streams": asked.streams,
        "threads": asked.threads, "max_batch": asked.max_batch, "rate": rate, "seconds": seconds,
        "throughput": tally["answered"] / seconds,
        "goodput": (tally["answered"] - tally["late"]) / seconds,
        "bare_tail_throughput": statistics.median(tails),
        "p50_ms": float(p50), "p90_ms": float(p90), "p99_ms": float(p99),
        "overhead_p50_ms": statistics.median(tally["overheads_ms"]),
        "echo_p50_ms": statistics.median(echoes),
        "mean_batch": statistics.fmean(tally["batches"]),
        "by_stream": tally["by_stream"],
    } | {key: tally[key] for key in ("sent", "answered", "refused", "failed")}  # fmt: skip


def _joined(tally: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    part["seconds"] = part.pop("ended") - part.pop("began")
    if not tally:
        return part
    joined = {key: tally[key] + part[key] for key in tally if key != "by_stream"}
    pairs = zip(tally["by_stream"], part["by_stream"], strict=True)
    return joined | {"by_stream": [a + b for a, b in pairs]}


def _throughput(part: dict[str, Any]) -> float:
    return float(part["answered"] / (part["ended"] - part["began"]))


def _load(
    asked: Asked,
    scratch: Path,
    packets: Path,
    address: str,
    scenario: str,
    seconds: float,
    rate: float,
    seed: int = 0,
    echo: bool = False,
) -> dict[str, Any]:
    """Run a load process to its end."""
    streams = 1 if scenario in ("single", "multi") else asked.streams
    request = Request(
        address, str(packets), scenario, seconds, streams, asked.window, rate, asked.deadline_ms,
        seed, echo,
    )  # fmt: skip
    told = scratch / "request.json"
    told.write_text(json.dumps(asdict(request)))
    command = [sys.executable, "-m", "narrows.simulations.bench.load", str(told)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LinkError(f"the load on {address} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _bare_tail(asked: Asked, packets: Path) -> float:
    numbers = (str(asked.max_batch), str(asked.threads), str(PEER_SECONDS))
    command = [sys.executable, "-m", "narrows.simulations.bench.load_peers", "tail"]
    done = subprocess.run(
        [*command, str(asked.bundle), str(packets), *numbers],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


@contextmanager
def _server(asked: Asked) -> Iterator[tuple[str, list[int]]]:
    options = (
        "--executor", asked.executor, "--replicas", "1", "--threads", str(asked.threads),
        "--max-batch", str(asked.max_batch), "--max-waiting", str(2 * asked.streams * asked.window),
    )  # fmt: skip
    with serving(asked.bundle, *options) as ready:
        yield ready["address"], ready["replicas"]


@contextmanager
def _echo() -> Iterator[str]:
    command = [sys.executable, "-m", "narrows.simulations.bench.load_peers", "echo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def _loop_s(processes: list[psutil.Process]) -> float:
    """Processor time of event loops: a replica alone has its own in its first thread."""
    return sum(
        thread.user_time + thread.system_time
        for process in processes
        for thread in process.threads()
        if thread.id == process.pid
    )


def _print(found: dict[str, Any]) -> None:
    table = Table("figure", "value", title=f"{found['scenario']} ({found['executor']})")
    for key in ("sent", "answered", "refused", "failed"):
        table.add_row(key, f"{found[key]:,}")
    ratio = found["throughput"] / found["bare_tail_throughput"]
    table.add_row("frames/s", f"{found['throughput']:,.0f} ({ratio:.2f} of the bare tail's)")
    for key in ("p50_ms", "p90_ms", "p99_ms"):
        table.add_row(key.replace("_ms", ", ms"), f"{found[key]:.2f}")
    against = f"{found['overhead_p50_ms'] / found['echo_p50_ms']:.2f} of a bare echo's"
    table.add_row(
        "p50 without decoding and tail, ms", f"{found['overhead_p50_ms']:.2f} ({against})"
    )
    table.add_row("frames in a batch", f"{found['mean_batch']:.1f}")
    if found["executor"] == "local":
        table.add_row("event loop's time a frame, ms", f"{found['loop_ms_per_frame']:.3f}")
    slope = "" if (s := found["rss_mb_per_hour"]) is None else f" ({s:+.1f} an hour)"
    table.add_row("RSS, MB", f"{found['rss_mb_start']:.0f} -> {found['rss_mb_end']:.0f}{slope}")
    Console().print(table)
