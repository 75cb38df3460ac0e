"""A scenario as processes on this machine: servers, links, devices held to a share of a core.

Every device is `narrows edge` with a relay of its own before each server; faults cut relays, kill
and restart servers, or stop them. Devices come and go with the run: nothing is left behind.
Containers are another way to run the same parts, with limits of memory that processes do not have.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError, LinkError
from narrows.simulations.cpu_share import cpu_share
from narrows.simulations.demo.photographs import choose
from narrows.simulations.demo.run import true_labels_of
from narrows.simulations.events.link import link_named
from narrows.simulations.links.relay import Relay
from narrows.simulations.scenarios.figures import Columns, empty
from narrows.simulations.scenarios.in_time import Show
from narrows.simulations.scenarios.progress import Progress
from narrows.simulations.scenarios.scenario import MOST_PROCESSES, DeviceClass, Fault, Scenario
from narrows.simulations.scenarios.servers import ServerProcess

PHOTOGRAPHS = 200
LIMIT_S = 240.0  # beyond seconds and deadline: a busy machine starts processes slowly
PIPE = asyncio.subprocess.PIPE


@dataclass
class Running:
    """One way of a scenario under way."""

    scenario: Scenario
    way: str
    truth: dict[str, str]  # photograph -> label, where known
    progress: Progress
    columns: Columns
    relays: dict[str, list[Relay]] = field(default_factory=dict)  # by class
    servers: list[ServerProcess] = field(default_factory=list)
    zero: float = 0.0  # when devices were fed
    began: float = 0.0  # when every one had its first record: from then faults are timed
    heard: set[int] = field(default_factory=set)
    all_heard: asyncio.Event = field(default_factory=asyncio.Event)
    limited: str = ""
    over_memory: set[str] = field(default_factory=set)  # classes

    def hear(self, number: int) -> None:
        """A device has a record; with the last device's first one the scenario begins."""
        self.heard.add(number)
        if len(self.heard) == self.scenario.devices and not self.all_heard.is_set():
            self.began = time.monotonic()
            self.all_heard.set()

    def rebase(self) -> None:
        """Count moments from the beginning; frames of the start-up have negative ones."""
        late_ms = 1e3 * (self.began - self.zero)
        for name in ("due_ms", "answered_ms"):
            self.columns[name] = [
                value if value is None or way != self.way else value - late_ms
                for value, way in zip(self.columns[name], self.columns["way"], strict=True)
            ]


def simulate_in_processes(
    scenario: Scenario, data: Path | None, seed: int, show: Show
) -> tuple[Columns, dict[str, Any]]:
    """Every frame of every way, and how devices were held down. Raises NarrowsError.

    The seed does nothing here: processes run in real time.
    """
    if scenario.devices > MOST_PROCESSES:
        raise ConfigError(
            f"{scenario.devices} devices as processes: at most {MOST_PROCESSES}; run it --in time"
        )
    columns, limited, over_memory = empty(), "", set[str]()
    with tempfile.TemporaryDirectory(prefix="narrows-simulate-") as scratch:
        choice = choose(data, PHOTOGRAPHS, Path(scratch))
        images, _ = choice.entries()
        paths = sorted(p for p in images.root.rglob("*") if p.is_file())
        manifest = Manifest.load(scenario.bundle)
        truth = true_labels_of(manifest, paths) if choice.labelled else {}
        for way in scenario.ways:
            progress = Progress(way, scenario.seconds, float(scenario.deadline_ms))
            run = Running(scenario, way, truth, progress, columns)
            asyncio.run(_run(run, paths, show))
            limited = run.limited
            over_memory |= run.over_memory
    how = {"photographs": choice.described, "processors": limited}
    return columns, how | {"over_memory": sorted(over_memory)}


async def _run(run: Running, paths: list[Path], show: Show) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(run.scenario.server.replicas):
            server = ServerProcess(run.scenario.bundle, run.scenario.server)
            run.servers.append(await stack.enter_async_context(server))
        devices, number = [], 0
        for kind, spec in run.scenario.classes.items():
            for _ in range(spec.devices):
                device = _device(run, kind, spec, number)
                devices.append(await stack.enter_async_context(device))
                number += 1
        run.zero = run.began = time.monotonic()
        collecting = [_collect(run, *device, paths) for device in devices]
        faults = [asyncio.ensure_future(_fail(run, fault)) for fault in run.scenario.faults]
        shown = asyncio.ensure_future(_show(run, show))
        limit_s = run.scenario.seconds + run.scenario.deadline_ms / 1e3 + LIMIT_S
        try:
            await asyncio.wait_for(asyncio.gather(*collecting), limit_s)
        except asyncio.TimeoutError:
            raise LinkError(
                f"devices were not done {LIMIT_S:.0f} s after the scenario's end"
            ) from None
        finally:
            for task in (*faults, shown):
                task.cancel()
            await asyncio.gather(*faults, shown, return_exceptions=True)
        run.rebase()
        show(run.progress)


Device = tuple[asyncio.subprocess.Process, str, DeviceClass, int]


@asynccontextmanager
async def _device(run: Running, kind: str, spec: DeviceClass, number: int) -> AsyncIterator[Device]:
    """A device process behind relays of its own, held to its share of a core."""
    async with AsyncExitStack() as stack:
        addresses = []
        for server in run.servers:
            relay = await stack.enter_async_context(Relay(server.address, link_named(spec.link)))
            run.relays.setdefault(kind, []).append(relay)
            addresses.append(f"127.0.0.1:{relay.port}")
        point = run.way.partition(":")[2]
        command = (
            sys.executable, "-m", "narrows", "edge", "-", "--json", "--server", ",".join(addresses),
            "--bundle", str(run.scenario.bundle), "--point", point, "--fps", str(spec.fps),
            "--window", str(spec.window), "--deadline-ms", str(run.scenario.deadline_ms),
            "--task", run.scenario.tasks, "--give-up-seconds", str(run.scenario.seconds + LIMIT_S),
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        if spec.cpu_share < 1:
            run.limited = stack.enter_context(cpu_share(process.pid, spec.cpu_share))
        try:
            yield process, kind, spec, number
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _collect(
    run: Running, process: asyncio.subprocess.Process, kind: str, spec: DeviceClass, number: int,
    paths: list[Path],
) -> None:  # fmt: skip
    """Feed a device its photographs, keep its records; each device begins at another one.

    Raises:
        LinkError: the device ended without a frame; with what it said.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.ensure_future(process.stderr.read())
    frames = max(1, round(spec.fps * run.scenario.seconds))
    mine = islice(cycle(paths[number % len(paths) :] + paths[: number % len(paths)]), frames)
    process.stdin.write("".join(f"{path}\n" for path in mine).encode())
    process.stdin.close()
    async for line in process.stdout:
        record = json.loads(line)
        if "summary" not in record:
            _keep(run, record, kind, number)
        elif spec.memory_mb is not None:
            peak_mb = record["summary"]["peak_memory_bytes"] / 1e6
            if peak_mb > spec.memory_mb:
                run.over_memory.add(kind)
    if await process.wait() and number not in run.heard:  # else its frames tell of a lost server
        why = (await said).decode(errors="replace").strip()[-500:]
        raise LinkError(f"device {number} ({kind}) ended with code {process.returncode}: {why}")


def _keep(run: Running, record: dict[str, Any], kind: str, number: int) -> None:
    answered = record["status"] == "OK"
    latency_ms = record["latency_ms"] if answered else None
    now_ms = 1e3 * (time.monotonic() - run.zero)
    label = record["labels"][0]["name"] if record["labels"] else None
    true = run.truth.get(record["name"])
    stages = record["timing_ms"]
    row = dict.fromkeys(run.columns) | {
        "way": run.way, "device": number, "class": kind, "frame": record["frame_id"] - 1,
        "due_ms": now_ms - record["latency_ms"], "point": record["point"],
        "packet_bytes": record["packet_bytes"], "sendings": record["sendings"],
        "head_ms": sum(stages.get(stage, 0.0) for stage in ("preprocess", "head", "code")),
        "answered_ms": now_ms if answered else None, "latency_ms": latency_ms,
        "batch": record["batch_size"] or None, "status": record["status"],
        "missed": latency_ms is None or latency_ms > run.scenario.deadline_ms,
        "correct": None if true is None or label is None else label == true,
    }  # fmt: skip
    for name, value in row.items():
        run.columns[name].append(value)
    run.progress.add(record["status"], record["latency_ms"])
    run.hear(number)


async def _show(run: Running, show: Show) -> None:
    while True:
        run.progress.now_s = min(run.scenario.seconds, time.monotonic() - run.began)
        show(run.progress)
        await asyncio.sleep(0.25)


async def _fail(run: Running, fault: Fault) -> None:
    await run.all_heard.wait()
    await asyncio.sleep(fault.at_s)
    if fault.kind == "link":
        kinds = [fault.devices] if fault.devices is not None else list(run.relays)
        relays = [relay for kind in kinds for relay in run.relays[kind]]
        for relay in relays:
            relay.cut()
        await asyncio.sleep(fault.for_s)
        for relay in relays:
            relay.restore()
        return
    server = run.servers[fault.replica]
    if fault.kind == "killed":
        await server.kill()
        await asyncio.sleep(fault.for_s)
        await server.start()
    else:
        server.stop()
        await asyncio.sleep(fault.for_s)
        server.go_on()
