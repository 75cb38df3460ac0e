"""`narrows serve`: replicas of a server, alone or on Ray, until a signal drains them."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from narrows.codec.manifest import Manifest
from narrows.errors import BundleError
from narrows.server.logs import set_up_logs
from narrows.server.samples import Sample
from narrows.server.settings import ServerSettings

if TYPE_CHECKING:  # the director's process does without
    from narrows.server.console import Collect

log = logging.getLogger(__name__)
OBJECT_STORE_BYTES = 80 << 20  # Ray's least: frames never pass through it


def serve_local(settings: ServerSettings, as_json: bool) -> None:
    """One replica in this process. Raises NarrowsError."""
    set_up_logs(settings.log, settings.log_level)
    from narrows.server.replica import Replica

    async def run() -> None:
        stopped = _on_signal()
        replica = await Replica.start(settings)

        async def collect() -> dict[str, list[Sample]]:
            return {replica.name: replica.samples()}

        async with _console(settings, collect, replica.manifests) as console:
            _on_hangup(replica.reload)
            _announce(settings, replica.port, [os.getpid()], None, console, as_json)
            await stopped.wait()
            await replica.drain()

    asyncio.run(run())


def serve_ray(
    settings: ServerSettings,
    replicas: tuple[int, int],
    cpus: float | None,
    gpus: float,
    verify: int,
    ray_address: str | None,
    as_json: bool,
) -> None:
    """Actors behind one port, on a cluster of one's own or at `ray_address`.

    replicas: the least and the most. cpus: cores that each takes; None: one, or an even share of
    what the cluster has now. gpus: what each takes of one. verify: how many compute an answer that
    is checked; 0: none is.

    Raises:
        NarrowsError: what keeps a replica from starting.
    """
    set_up_logs(settings.log, settings.log_level)
    from narrows.server.cluster import connect, unwrapped

    connect(ray_address, OBJECT_STORE_BYTES)
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from narrows.server.director import NAME, Director, Fleet
    from narrows.server.placement import place

    try:
        cores = float(ray.cluster_resources().get("CPU", 1))
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {
            "name": NAME, "num_cpus": 0, "max_concurrency": 1000,
            "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here,
        }  # fmt: skip
        director: Any = ray.remote(Director).options(**options).remote()
        fleet = Fleet(*replicas, cpus or min(1.0, cores / replicas[1]), gpus, verify)
        far = ray_address is not None
        placed = place(settings.bundles, far)
        running, ready = director.run.remote(settings, placed, fleet), director.ready.remote()
        done, _ = ray.wait([running, ready], num_returns=1)
        port = unwrapped(lambda: ray.get(done[0]))  # `run` ends only by what keeps it from serving
        pids, own = ray.get([director.pids.remote(), director.own_pid.remote()])

        async def run() -> None:
            stopped = _on_signal()

            async def collect() -> dict[str, list[Sample]]:
                return await director.samples.remote()  # type: ignore[no-any-return]

            async def reload() -> None:
                try:
                    await director.reload.remote(place(settings.bundles, far))
                except BundleError as error:
                    log.error("the versions before are served on: %s", error)

            manifests = [Manifest.load(folder) for folder in settings.bundles]
            async with _console(settings, collect, manifests) as console:
                relaying = asyncio.create_task(_relay(director))
                _on_hangup(reload)
                _announce(settings, port, pids, own, console, as_json)
                await stopped.wait()
                relaying.cancel()
                await director.drain.remote()

        asyncio.run(run())
    finally:
        ray.shutdown()


async def _relay(director: Any) -> None:
    """Say here what the director has to tell: its own log is Ray's."""
    while True:
        log.warning(await director.news.remote())


def _on_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def _on_hangup(reload: Callable[[], Awaitable[None]]) -> None:
    """SIGHUP: read the bundles' folders again."""
    loop, reloading = asyncio.get_running_loop(), set[asyncio.Future[None]]()

    def begin() -> None:
        task = asyncio.ensure_future(reload())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, begin)


@asynccontextmanager
async def _console(
    settings: ServerSettings, collect: "Collect", manifests: Sequence[Manifest]
) -> AsyncIterator[int | None]:
    """The console's port while it is open; None where none is asked for."""
    if settings.console is None:
        yield None
        return
    from narrows.server.console import Console

    console = Console(collect, manifests)
    await console.start("127.0.0.1", settings.console)
    try:
        yield console.port
    finally:
        await console.close()


def _announce(
    settings: ServerSettings,
    port: int,
    pids: list[int],
    director: int | None,
    console: int | None,
    as_json: bool,
) -> None:
    """One line that says frames are welcome; programs wait for it."""
    address = f"{settings.host}:{port}"
    executor = "local" if director is None else "ray"
    ready: dict[str, Any] = {"address": address, "replicas": pids, "executor": executor}
    if director is not None:
        ready["director"] = director
    text = f"serving on {address}: {len(pids)} replicas ({executor})"
    if console is not None:
        ready["console"] = f"http://127.0.0.1:{console}/"
        text += f"; console: {ready['console']}"
    print(json.dumps(ready) if as_json else text, flush=True)
