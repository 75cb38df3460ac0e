"""A replica to measure: in a process of its own, with packets to send to it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.codec.manifest import Manifest
from narrows.errors import LinkError
from narrows.simulations.bench.load import write_packets
from narrows.simulations.bench.serving import packets_of, serving
from narrows.simulations.planning.device_times import pictures_of
from narrows.simulations.planning.pacing import Pacing

WAITING = 1024  # more than any load here queues


@dataclass(frozen=True)
class Served:
    """What is served, and how."""

    bundle: Path
    max_batch: int = 16
    threads: int = 1
    point: int = 0
    pacing: Pacing | None = None  # None: the tail takes what it takes


@dataclass(frozen=True)
class Target:
    """A server that runs, and what to send to it."""

    address: str
    pids: tuple[int, ...]
    packets: Path
    pictures: Path
    max_batch: int


@contextmanager
def target_server(served: Served) -> Iterator[Target]:
    """A replica in a process of its own, and packets to send to it. Raises LinkError."""
    with tempfile.TemporaryDirectory() as scratch:
        packets, pictures = Path(scratch) / "packets", Path(scratch) / "pictures"
        write_packets(packets, packets_of(served.bundle, served.point))
        write_packets(pictures, pictures_of(Manifest.load(served.bundle).input.short_side))
        with _serving(served) as ready:
            pids = tuple(ready["replicas"])
            yield Target(ready["address"], pids, packets, pictures, served.max_batch)


def _serving(served: Served) -> AbstractContextManager[dict[str, Any]]:
    if served.pacing is not None:
        return _paced(served, served.pacing)
    return serving(
        served.bundle, "--executor", "local", "--threads", str(served.threads),
        "--max-batch", str(served.max_batch), "--max-waiting", str(WAITING),
        "--log-level", "warning",
    )  # fmt: skip


@contextmanager
def _paced(served: Served, pacing: Pacing) -> Iterator[dict[str, Any]]:
    numbers = served.max_batch, WAITING, pacing.base_ms, pacing.frame_ms
    command = [sys.executable, "-m", "narrows.simulations.planning.paced_server"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, str(served.bundle), *map(str, numbers)], stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise LinkError("the paced server did not start: see its message above")
        try:
            yield json.loads(line)
        finally:
            process.stdin.close()
