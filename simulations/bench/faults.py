"""`narrows bench faults`: what a fault costs the frames, measured on real processes.

kill     one of two replicas by SIGKILL, again and again, under load
freeze   the server by SIGSTOP, thawed later
cut      the link, healed later
storm    half of the frames cancelled by their device
"""

import asyncio
import contextlib
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any
from urllib.request import urlopen

import grpc
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from narrows.edge.link import LinkSettings
from narrows.edge.outcome import Outcome
from narrows.edge.payload import Payload
from narrows.edge.session import Session
from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.simulations.bench.race import machine
from narrows.simulations.bench.serving import packets_of, serving
from narrows.simulations.links.relay import Relay
from narrows.simulations.links.spec import LinkSpec

LINK = LinkSettings(deadline_ms=60_000, give_up_s=120.0)
OUTAGE_S = 10.0
SETTLE_S = 2.0  # of undisturbed load before a fault
LOOK_S = 0.005


@dataclass
class Load:
    """Devices that send one frame after another, and what became of the frames."""

    packets: list[bytes]
    sessions: list[Session] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    answered_s: dict[int, list[tuple[float, str]]] = field(default_factory=dict)  # by session
    stopped: bool = False

    @contextlib.asynccontextmanager
    async def run(self, address: str, devices: int) -> AsyncIterator["Load"]:
        """Send until left; then every frame has its outcome."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(devices):
                self.sessions.append(await stack.enter_async_context(Session(address, LINK)))
            sending = [asyncio.create_task(self._send(i)) for i in range(devices)]
            try:
                yield self
            finally:
                self.stopped = True
                await asyncio.gather(*sending)

    async def _send(self, number: int) -> None:
        session = self.sessions[number]
        answers = self.answered_s.setdefault(number, [])
        while not self.stopped:
            packet = random.choice(self.packets)
            self.sent += 1
            outcome = await session.ask(Payload("packet", packet, 0, 0, monotonic_ns(), 0, 0, 0))
            self._note(outcome, answers)

    def _note(self, outcome: Outcome, answers: list[tuple[float, str]]) -> None:
        self.told[outcome.status] += 1
        if outcome.ok:
            answers.append((monotonic(), outcome.answered_by))

    def figures(self) -> dict[str, Any]:
        """Counts that add up."""
        answered = self.told["OK"]
        return {
            "sent": self.sent, "answered": answered,
            "failed": sum(self.told.values()) - answered,
            "lost": self.sent - sum(self.told.values()),
            "resent": sum(session.resent for session in self.sessions),
            "second_answers": sum(session.strays for session in self.sessions),
        }  # fmt: skip


def run_faults_bench(fault: str, bundle: Path, times: int, seconds: float, as_json: bool) -> None:
    """Do it, print. Raises NarrowsError."""
    if fault not in FAULTS:
        raise ConfigError(f"--fault {fault}: expected one of {', '.join(FAULTS)}")
    packets = packets_of(bundle, 0)
    told = asyncio.run(FAULTS[fault](bundle, packets, times, seconds))
    found = {"fault": fault} | told | {"machine": machine()}
    if as_json:
        print(json.dumps(found))
        return
    table = Table("figure", "value", title=fault)
    for name, value in found.items():
        table.add_row(name, f"{value:,.0f}" if isinstance(value, float) else str(value))
    Console().print(table)


async def _kill(bundle: Path, packets: list[bytes], times: int, seconds: float) -> dict[str, Any]:
    """How long streams of the killed replica go without an answer."""
    load, gaps_ms = Load(packets), []
    options = ("--executor", "ray", "--replicas", "2", "--threads", "1", "--console", "0")
    with serving(bundle, *options) as server:
        async with load.run(server["address"], 8):
            victim = 0
            for _ in range(times):
                await _two_serve(server["console"], victim)
                victim, streams = _busiest(load)
                killed = monotonic()
                os.kill(victim, signal.SIGKILL)
                for number in streams:
                    answers = load.answered_s[number]
                    while answers[-1][0] < killed or _pid(answers[-1][1]) == victim:
                        await asyncio.sleep(LOOK_S)
                    first = next(at for at, by in answers if at > killed and _pid(by) != victim)
                    gaps_ms.append(1e3 * (first - killed))
    return load.figures() | {"kills": times} | _quantiles("gap", gaps_ms)


async def _two_serve(console: str, without: int) -> None:
    """Until the console tells of two replicas that are none of the killed one."""
    while True:
        names = await asyncio.to_thread(_replicas, console)
        if len(names) == 2 and without not in map(_pid, names):
            return await asyncio.sleep(SETTLE_S)
        await asyncio.sleep(0.1)


def _replicas(console: str) -> list[str]:
    with urlopen(f"{console}figures.json") as response:
        return [replica["name"] for replica in json.load(response)["replicas"]]


def _busiest(load: Load) -> tuple[int, list[int]]:
    """A replica's process and the sessions that it answers."""
    last = {number: _pid(answers[-1][1]) for number, answers in load.answered_s.items() if answers}
    victim = Counter(last.values()).most_common(1)[0][0]
    return victim, [number for number, pid in last.items() if pid == victim]


def _pid(answered_by: str) -> int:
    return int(answered_by.rpartition("/")[2])


async def _freeze(bundle: Path, packets: list[bytes], times: int, seconds: float) -> dict[str, Any]:
    with serving(bundle, "--threads", "1") as server:
        pid = server["replicas"][0]

        async def begin() -> None:
            os.kill(pid, signal.SIGSTOP)

        async def end() -> None:
            os.kill(pid, signal.SIGCONT)

        return await _outages(server["address"], packets, times, begin, end)


async def _cut(bundle: Path, packets: list[bytes], times: int, seconds: float) -> dict[str, Any]:
    link = LinkSpec.parse("10mbit,10ms")
    with serving(bundle, "--threads", "1") as server:
        async with Relay(server["address"], link) as relay:

            async def begin() -> None:
                relay.cut()

            async def end() -> None:
                relay.restore()

            return await _outages(f"127.0.0.1:{relay.port}", packets, times, begin, end)


async def _outages(
    address: str,
    packets: list[bytes],
    times: int,
    begin: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
) -> dict[str, Any]:
    """How long devices take to notice an outage of ten seconds, and to recover from it."""
    load, noticed_ms, recovered_ms = Load(packets), [], []
    async with load.run(address, 2):
        for _ in range(times):
            await asyncio.sleep(SETTLE_S + random.random())
            began = monotonic()
            await begin()
            while any(session.connected for session in load.sessions):
                await asyncio.sleep(LOOK_S)
            noticed_ms.append(1e3 * (monotonic() - began))
            await asyncio.sleep(began + OUTAGE_S + random.random() - monotonic())
            ended = monotonic()
            await end()
            while any(answers[-1][0] < ended for answers in load.answered_s.values()):
                await asyncio.sleep(LOOK_S)
            recovered_ms.append(1e3 * (monotonic() - ended))
    figures = load.figures() | {"outages": times, "outage_s": OUTAGE_S}
    return figures | _quantiles("noticed", noticed_ms) | _quantiles("recovered", recovered_ms)


async def _storm(bundle: Path, packets: list[bytes], times: int, seconds: float) -> dict[str, Any]:
    """Half of the calls are cancelled, at moments from before they leave to after their answer."""
    told: Counter[str] = Counter()

    async def one(stub: Any, number: int) -> None:
        call = stub.Infer(inference_pb2.Frame(frame_id=number, packet=random.choice(packets)))
        if number % 2:
            await asyncio.sleep(random.expovariate(50))
            told["cancelled" if call.cancel() else "answered before"] += 1
            return
        told[inference_pb2.FrameStatus.Code.Name((await call).status.code)] += 1

    with serving(bundle, "--threads", "1") as server:
        process = psutil.Process(server["replicas"][0])
        async with grpc.aio.insecure_channel(server["address"]) as channel:
            stub = inference_pb2_grpc.InferenceStub(channel)
            began, number, memory = monotonic(), 0, list[tuple[float, float]]()
            while (passed := monotonic() - began) < seconds:
                await asyncio.gather(*(one(stub, number + i) for i in range(32)))
                number += 32
                memory.append((passed, process.memory_info().rss / 1e6))
    warm = [mb for at, mb in memory if at > 0.1 * seconds]
    tenth = max(1, len(warm) // 10)
    first, last = float(np.median(warm[:tenth])), float(np.median(warm[-tenth:]))
    return {
        "seconds": seconds, "sent": number, "outcomes": dict(told),
        "rss_mb_first": first, "rss_mb_last": last, "growth": last / first - 1,
    }  # fmt: skip


def _quantiles(name: str, values_ms: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values_ms, (50, 99))
    return {f"{name}_p50_ms": float(p50), f"{name}_p99_ms": float(p99)}


FAULTS: dict[
    str, Callable[[Path, list[bytes], int, float], Coroutine[Any, Any, dict[str, Any]]]
] = {
    "kill": _kill, "freeze": _freeze, "cut": _cut, "storm": _storm,
}  # fmt: skip
