"""The director: a small Ray actor that starts replicas, watches them and replaces the dead.

Frames never pass through Ray: a replica is a gRPC endpoint inside an actor, and all replicas of a
host listen on one port (SO_REUSEPORT), so that a killed one is taken over by its siblings at once.
"""

import asyncio
import logging
import os
import socket
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from narrows.server.settings import ServerSettings

log = logging.getLogger(__name__)
NAME = "narrows-director"
RETRY_SECONDS = 1.0


class ReplicaActor:
    """A Replica in a process of its own."""

    async def start(self, settings: ServerSettings) -> int:
        """Serve; returns this process's id."""
        from narrows.server.replica import Replica  # torch: the director itself does without

        self._replica = await Replica.start(settings)
        return os.getpid()

    async def drain(self) -> None:
        await self._replica.drain()

    async def forever(self) -> None:
        """Never returns: whoever awaits it learns of this process's death."""
        await asyncio.Event().wait()


class Director:
    """Keeps `replicas` replicas running until it drains them."""

    async def start(self, settings: ServerSettings, replicas: int, cpus: float) -> int:
        """Start all of them; returns the port they share. Raises what a replica's start raises."""
        self._reserved = _reserve(settings.host, settings.port)
        port = self._reserved.getsockname()[1]
        self._settings = replace(settings, port=port, share_port=True)
        self._cpus = cpus
        self._running: dict[int, tuple[Any, int]] = {}
        await asyncio.gather(*(self._start_one(index) for index in range(replicas)))
        self._watching = [asyncio.create_task(self._watch(index)) for index in range(replicas)]
        return int(port)

    def pids(self) -> list[int]:
        """The replicas' processes."""
        return [pid for _, pid in self._running.values()]

    async def drain(self) -> None:
        """Every replica answers what it accepted, then all end."""
        for task in self._watching:
            task.cancel()
        actors = [actor for actor, _ in self._running.values()]
        await asyncio.gather(*(a.drain.remote() for a in actors), return_exceptions=True)

    async def _start_one(self, index: int) -> None:
        options: dict[str, Any] = {"num_cpus": self._cpus, "max_concurrency": 1000}
        actor: Any = ray.remote(ReplicaActor).options(**options).remote()
        self._running[index] = (actor, await actor.start.remote(self._settings))

    async def _watch(self, index: int) -> None:
        while True:
            actor, _ = self._running[index]
            try:
                await actor.forever.remote()
            except RayActorError:
                log.warning("replica %d died: starting another", index)
                await self._replace(index)

    async def _replace(self, index: int) -> None:
        """Start one until it stays: a full disk or a missing file may be mended meanwhile."""
        while True:
            try:
                return await self._start_one(index)
            except (RayActorError, RayTaskError) as error:
                log.error("replica %d does not start: %s", index, error)
                await asyncio.sleep(RETRY_SECONDS)


def _reserve(host: str, port: int) -> socket.socket:
    """Hold the port without listening: it stays ours even while every replica is down."""
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((host, port))
    return reserved
