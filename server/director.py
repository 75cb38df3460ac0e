"""The director: a small Ray actor that starts replicas, watches them, replaces the dead, scales.

Frames never pass through Ray: a replica is a gRPC endpoint inside an actor, and all replicas of a
host listen on one port (SO_REUSEPORT), so that a killed one is taken over by its siblings at once.
Replicas outlive their director: a restarted one finds them by name and goes on. Replicas that have
heard of no director for a minute drain themselves.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from narrows.server.actor import ReplicaActor
from narrows.server.logs import set_up_logs
from narrows.server.placement import PlacedBundle
from narrows.server.samples import DIRECTOR, Sample
from narrows.server.scaling import Balancer, Scaler
from narrows.server.settings import ServerSettings
from narrows.server.verification import Verifier

log = logging.getLogger(__name__)
NAME = "narrows-director"
REPLICA = "narrows-replica-{}"
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0
SETTLE_SECONDS = 0.5
ANSWER_SECONDS, MISSED = 5.0, 3  # a replica that is silent so often for so long is frozen
SUSPECT = 2  # a node whose replicas were quarantined so often gets no more, if there is another


@dataclass(frozen=True)
class Fleet:
    """How many replicas, and what each takes of the cluster."""

    least: int
    most: int
    cpus: float
    gpus: float = 0.0
    verify: int = 0  # replicas that compute a checked answer; 0: none is checked


@dataclass
class Running:
    """One replica that serves, or did."""

    actor: Any
    pid: int
    node: str
    dead: bool = False  # until another takes its place


class Director:
    """Keeps as many replicas running as frames need, until it drains them."""

    def __init__(self) -> None:
        self._ready = asyncio.Event()
        self._running: dict[int, Running] = {}
        self._watching: dict[int, asyncio.Task[None]] = {}
        self._silent: Counter[int] = Counter()  # how many times in a row, by replica
        self._quarantined: Counter[str] = Counter()  # by node
        self._working: set[asyncio.Task[None]] = set()
        self._scaling: asyncio.Task[None] | None = None
        self._verifier: Verifier | None = None
        self._news: asyncio.Queue[str] = asyncio.Queue(maxsize=100)

    async def run(
        self, settings: ServerSettings, bundles: Sequence[PlacedBundle], fleet: Fleet
    ) -> None:
        """Start or find the replicas, then look after them. Raises what a replica's start raises.

        Ray calls it again after this process died.
        """
        set_up_logs(settings.log, settings.log_level)
        self._fleet, self._bundles = fleet, bundles
        found = await self._find()
        port = found or settings.port
        self._reserved = _reserve(settings.host, port)
        self.port = self._reserved.getsockname()[1]
        self._settings = replace(settings, port=self.port, share_port=True)
        missing = [i for i in range(fleet.least) if i not in self._running]
        await asyncio.gather(*(self._start_one(index) for index in missing))
        for index in self._running:
            self._watch_over(index)
        self._ready.set()
        if fleet.verify:
            self._working.add(asyncio.create_task(self._verify()))
        scaler, balancer = Scaler(fleet.least, fleet.most), Balancer()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look(scaler, balancer)

    async def ready(self) -> int:
        """The port they share, once all have started."""
        await self._ready.wait()
        return self.port

    async def news(self) -> str:
        """What an operator should hear of next; waits for it."""
        return await self._news.get()

    def pids(self) -> list[int]:
        """The replicas' processes."""
        return [running.pid for running in self._running.values()]

    def own_pid(self) -> int:
        """This director's process."""
        return os.getpid()

    async def samples(self) -> dict[str, list[Sample]]:
        """What every replica that answers has counted, by its name, and what this one has."""
        told = dict((await self._asked("samples")).values())
        if self._verifier is None:
            return told
        own: list[Sample] = [("narrows_answers_checked_total", {}, float(self._verifier.checked))]
        for node, count in self._quarantined.items():
            own.append(("narrows_replica_quarantined_total", {"node": node}, float(count)))
        return told | {DIRECTOR: own}

    async def reload(self, bundles: Sequence[PlacedBundle]) -> None:
        """New versions of bundles, one replica after the other: the others serve meanwhile."""
        self._bundles = bundles
        for method, given in (("accept", [bundles]), ("announce", [])):
            for running in self._alive.values():
                with contextlib.suppress(RayActorError):  # its successor reads the new one anyway
                    await getattr(running.actor, method).remote(*given)

    async def drain(self) -> None:
        """Every replica answers what it accepted, then all end."""
        for task in (*self._watching.values(), *self._working):
            task.cancel()
        await self._asked("drain", patience_s=self._settings.drain_seconds + ANSWER_SECONDS)
        for running in self._running.values():
            ray.kill(running.actor)

    @property
    def _alive(self) -> dict[int, Running]:
        return {index: running for index, running in self._running.items() if not running.dead}

    async def _asked(
        self,
        method: str,
        *given: Any,
        of: Sequence[int] | None = None,
        patience_s: float = ANSWER_SECONDS,
    ) -> dict[int, Any]:
        """What replicas answer in that time, by index: one that is frozen holds up nobody."""
        calls = {
            index: asyncio.ensure_future(_answer(getattr(running.actor, method).remote(*given)))
            for index, running in self._alive.items()
            if of is None or index in of
        }
        if calls:
            await asyncio.wait(calls.values(), timeout=patience_s)
        done = {i: call for i, call in calls.items() if call.done() and not call.exception()}
        return {index: call.result() for index, call in done.items()}

    async def _look(self, scaler: Scaler, balancer: Balancer) -> None:
        """Hear of every replica, which is also how they hear of their director."""
        loads = await self._asked("load")
        for index, running in self._alive.items():
            self._silent[index] = 0 if index in loads else self._silent[index] + 1
            if self._silent[index] == MISSED:
                self._tell(f"replica {index} is frozen")
                ray.kill(running.actor, no_restart=True)  # `_watch` sees it die
        if self._scaling is not None and not self._scaling.done():
            return  # a start takes its time
        waits_ms = [load.wait_ms for load in loads.values()]
        wanted = scaler.wanted(len(self._running), waits_ms)
        if wanted > len(self._running):
            self._scaling = asyncio.create_task(self._grow(wanted))
        elif wanted < len(self._running):
            self._tell(f"frames hardly wait: {wanted} replicas")
            self._scaling = asyncio.create_task(self._stop_one(max(self._running)))
        elif moved := balancer.to_shed(loads):
            index, share = moved
            self._running[index].actor.shed.remote(share)

    async def _grow(self, wanted: int) -> None:
        """One replica more; the others let it have a share of their streams."""
        self._tell(f"frames wait: {wanted} replicas")
        others = [running.actor for running in self._running.values()]
        index = next(i for i in range(wanted) if i not in self._running)
        try:
            await self._start_one(index)
        except (RayActorError, RayTaskError) as error:
            self._tell(f"replica {index} does not start: {error}")
            return
        self._watch_over(index)
        for actor in others:
            actor.shed.remote(1 / wanted)

    async def _verify(self) -> None:
        async def ask(frame: bytes, of: Sequence[int]) -> dict[int, bytes | None]:
            return await self._asked("recompute", frame, of=of)

        verifier = self._verifier = Verifier(self._fleet.verify, ask, self._quarantine)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for index, kept in (await self._asked("spot_checks")).items():
                for frame, answer in kept:
                    if index in self._alive:
                        await verifier.check(index, frame, answer, tuple(self._alive))

    async def _quarantine(self, index: int, why: str) -> None:
        """It answers nobody any more: devices send again to others what it has not answered."""
        running = self._running[index]
        running.dead = True
        self._quarantined[running.node] += 1
        self._tell(f"replica {index} (process {running.pid}) is quarantined: {why}")
        ray.kill(running.actor, no_restart=True)  # `_watch` sees it die

    async def _find(self) -> int | None:
        """Adopt what an earlier director left; the port it serves on."""
        port = None
        for index in range(self._fleet.most):
            try:
                actor = ray.get_actor(REPLICA.format(index))
                port, pid, node = await actor.where.remote()
            except (ValueError, RayActorError, RayTaskError):
                continue
            self._running[index] = Running(actor, pid, node)
        return port

    async def _start_one(self, index: int) -> None:
        options: dict[str, Any] = {
            "name": REPLICA.format(index), "lifetime": "detached", "max_concurrency": 1000,
            "num_cpus": self._fleet.cpus, "num_gpus": self._fleet.gpus,
            "scheduling_strategy": self._strategy(),
        }  # fmt: skip
        actor: Any = ray.remote(ReplicaActor).options(**options).remote()
        try:
            started = await actor.start.remote(self._settings, self._bundles)
        except RayTaskError:
            ray.kill(actor)  # its name is free for the next attempt
            raise
        self._running[index] = Running(actor, *started)

    def _strategy(self) -> Any:
        """Over all nodes, but for those whose answers were wrong time and again."""
        suspects = {node for node, count in self._quarantined.items() if count >= SUSPECT}
        if suspects:
            alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
            if trusted := sorted(alive - suspects):
                return NodeAffinitySchedulingStrategy(random.choice(trusted), soft=True)
        return "SPREAD"

    async def _stop_one(self, index: int) -> None:
        running = self._running.pop(index)
        self._watching.pop(index).cancel()
        await running.actor.drain.remote()
        ray.kill(running.actor)

    def _watch_over(self, index: int) -> None:
        self._watching[index] = asyncio.create_task(self._watch(index))

    async def _watch(self, index: int) -> None:
        while True:
            running = self._running[index]
            try:
                await running.actor.forever.remote()
            except RayActorError:
                running.dead = True
                self._tell(f"replica {index} died: starting another")
                await asyncio.sleep(SETTLE_SECONDS)  # its streams need the processor first
                await self._replace(index)

    async def _replace(self, index: int) -> None:
        """Start one until it stays: a full disk or a missing file may be mended meanwhile."""
        while True:
            try:
                return await self._start_one(index)
            except (RayActorError, RayTaskError, ValueError) as error:  # ValueError: name not free
                self._tell(f"replica {index} does not start: {error}")
                await asyncio.sleep(RETRY_SECONDS)

    def _tell(self, news: str) -> None:
        """Log it here, and let `narrows serve` say it where people look."""
        log.warning(news)
        if self._news.full():  # nobody listens
            self._news.get_nowait()
        self._news.put_nowait(news)


async def _answer(reference: Any) -> Any:
    return await reference


def _reserve(host: str, port: int) -> socket.socket:
    """Hold the port without listening: it stays ours even while every replica is down."""
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((host, port))
    return reserved
