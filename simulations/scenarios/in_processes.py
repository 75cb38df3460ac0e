"""A scenario in real processes: `narrows serve`, and `narrows edge` for each device, over relays.

What simulated time predicts is done here, with as many devices as a machine can run. Batteries are
not followed; `cpu_share` is held by a control group where the machine lets us.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from narrows.errors import LinkError
from narrows.images.files import pictures_in
from narrows.simulations.cpu_share import cpu_share
from narrows.simulations.events.ways import Known
from narrows.simulations.links.link import Link, open_link
from narrows.simulations.links.profile import profile_names
from narrows.simulations.links.relay import Relay
from narrows.simulations.scenarios.figures import Columns, empty
from narrows.simulations.scenarios.in_time import Show
from narrows.simulations.scenarios.progress import Progress
from narrows.simulations.scenarios.scenario import DeviceClass, Fault, Scenario
from narrows.simulations.scenarios.told import Camera, add_record, cameras_of, edge_options

MOST_DEVICES = 64
NARROWS = (sys.executable, "-m", "narrows")
LINE_BYTES = 1 << 22  # of one record: boxes of a crowd are long


def simulate_in_processes(
    scenario: Scenario, known: Known, photographs: Path, seed: int, show: Show
) -> Columns:
    """Every way in turn, each with a fresh server. Raises ConfigError, LinkError."""
    columns = empty()
    cameras = cameras_of(scenario, MOST_DEVICES, "in processes")
    pictures = pictures_in(photographs)
    options = [edge_options(way) for way in scenario.ways]  # refused before the first is run
    for way, told in zip(scenario.ways, options, strict=True):
        run = Run(scenario, way, told, known, pictures, seed, show, columns)
        asyncio.run(run.live(cameras))
    return columns


class Run:
    """One way of a scenario."""

    def __init__(
        self, scenario: Scenario, way: str, options: Sequence[str], known: Known,
        pictures: Sequence[Path], seed: int, show: Show, columns: Columns,
    ):  # fmt: skip
        self._scenario, self._way, self._options, self._known = scenario, way, options, known
        self._pictures, self._seed, self._show, self._columns = pictures, seed, show, columns
        self._progress = Progress(way, scenario.seconds, float(scenario.deadline_ms))
        self._relays: dict[str, list[Relay]] = {name: [] for name in scenario.classes}

    async def live(self, cameras: Sequence[Camera]) -> None:
        """From the server's start to the last device's end."""
        async with _server(self._scenario) as told, AsyncExitStack() as links:
            addresses = [await self._line(links, told["address"], camera) for camera in cameras]
            began = asyncio.get_running_loop().time()
            faults = [asyncio.create_task(self._fail(f, told)) for f in self._scenario.faults]
            try:
                await asyncio.gather(
                    *(self._device(c, a, began) for c, a in zip(cameras, addresses, strict=True))
                )
            finally:
                for task in faults:
                    task.cancel()
                await asyncio.gather(*faults, return_exceptions=True)

    async def _line(self, links: AsyncExitStack, server: str, camera: Camera) -> str:
        """Where that device sends: its own line's end, or the one that its class shares."""
        kind = self._scenario.classes[camera.kind]
        relays = self._relays[camera.kind]
        if not relays or not kind.shared:
            link = self._link(kind, camera)
            relays.append(await links.enter_async_context(Relay(server, link.up, down=link.down)))
        return f"127.0.0.1:{relays[-1].port}"

    def _link(self, kind: DeviceClass, camera: Camera) -> Link:
        """A profile without a seed of its own gets the device's."""
        text = kind.link
        return open_link(
            f"{text}:{self._seed + camera.number}" if text in profile_names() else text
        )

    async def _device(self, camera: Camera, address: str, began: float) -> None:
        kind, rng = self._scenario.classes[camera.kind], random.Random(f"{self._seed}/{camera}")
        command = [*NARROWS, "edge", "-", "--server", address, "--json"]
        command += ["--bundle", str(self._scenario.bundle), "--fps", str(kind.fps)]
        command += ["--window", str(kind.window), "--deadline-ms", str(self._scenario.deadline_ms)]
        await asyncio.sleep(camera.period_s * rng.random())  # devices are not in step
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, *self._options, stdin=pipe, stdout=pipe, limit=LINE_BYTES
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with ExitStack() as limits:
            if kind.cpu_share < 1:
                limits.enter_context(cpu_share(process.pid, kind.cpu_share))
            try:
                feeding = asyncio.create_task(self._feed(process.stdin, camera.frames, rng))
                async for line in process.stdout:
                    self._told(camera, json.loads(line), began)
                await feeding
                code = await process.wait()
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
        if code:
            raise LinkError(f"device {camera.number} ended with code {code}: see its message above")

    async def _feed(self, device: asyncio.StreamWriter, frames: int, rng: random.Random) -> None:
        with suppress(ConnectionError):  # it has ended: its own code says why
            for _ in range(frames):
                device.write(f"{rng.choice(self._pictures)}\n".encode())
                await device.drain()
        device.close()

    def _told(self, camera: Camera, record: dict[str, Any], began: float) -> None:
        if "summary" in record:
            return
        progress, deadline_ms = self._progress, self._scenario.deadline_ms
        add_record(self._columns, self._way, camera, record, self._known, deadline_ms)
        progress.note(record["status"], record["latency_ms"])
        now = asyncio.get_running_loop().time() - began
        progress.now_s = min(progress.seconds, now)
        self._show(progress)

    async def _fail(self, fault: Fault, server: dict[str, Any]) -> None:
        await asyncio.sleep(fault.at_s)
        if fault.kind == "link":
            names = [fault.devices] if fault.devices else list(self._relays)
            relays = [relay for name in names for relay in self._relays[name]]
            for relay in relays:
                relay.cut()
            await asyncio.sleep(fault.for_s)
            for relay in relays:
                relay.restore()
            return
        pid = server["replicas"][fault.replica]
        if fault.kind == "killed":  # its director starts another
            os.kill(pid, signal.SIGKILL)
            return
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            with suppress(ProcessLookupError):  # it was taken for dead meanwhile, and replaced
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _server(scenario: Scenario) -> AsyncIterator[dict[str, Any]]:
    """Its announcement. One replica is a process; several, or one that is killed, are on Ray."""
    told = scenario.server
    killed = any(fault.kind == "killed" for fault in scenario.faults)
    command = [*NARROWS, "serve", str(scenario.bundle), "--port", "0", "--json"]
    command += ["--max-batch", str(told.max_batch), "--max-waiting", str(told.max_waiting)]
    command += ["--threads", str(told.threads), "--log-level", "error"]
    if told.replicas > 1 or killed:
        command += ["--executor", "ray", "--replicas", str(told.replicas)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise LinkError("the server did not start: see its message above")
        yield json.loads(line)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
