"""A server process that a simulation starts, kills, starts again at the same port, or stops."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from narrows.errors import LinkError
from narrows.simulations.scenarios.scenario import Server

PIPE = asyncio.subprocess.PIPE


class ServerProcess:
    """`async with ServerProcess(bundle, server) as running: running.address`."""

    def __init__(self, bundle: Path, server: Server):
        self._bundle, self._server = bundle, server
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""

    async def __aenter__(self) -> "ServerProcess":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self.kill()

    async def start(self) -> None:
        """Returns when frames are welcome. Raises LinkError: it does not start."""
        port = self.address.rpartition(":")[2] or "0"
        limits = self._server
        command = (
            sys.executable, "-m", "narrows", "serve", str(self._bundle), "--executor", "local",
            "--port", port, "--json", "--max-batch", str(limits.max_batch),
            "--max-waiting", str(limits.max_waiting), "--threads", str(limits.threads),
            "--log-level", "error",
        )  # fmt: skip
        self._process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise LinkError("the server did not start: see its message above")
        self.address = json.loads(line)["address"]

    async def kill(self) -> None:
        """At once, with all it holds."""
        process = self._running()
        if process.returncode is None:
            process.kill()
        await process.wait()

    def stop(self) -> None:
        """It stands still, and keeps its sockets."""
        os.kill(self._running().pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """After `stop`."""
        os.kill(self._running().pid, signal.SIGCONT)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise LinkError("the server was not started: use it as `async with ServerProcess(...)`")
        return self._process
