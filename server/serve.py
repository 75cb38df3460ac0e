"""`narrows serve`: replicas of a server, alone or on Ray, until a signal drains them."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable
from typing import Any

from narrows.server.settings import ServerSettings

OBJECT_STORE_BYTES = 80 << 20  # Ray's least: frames never pass through it


def serve_local(settings: ServerSettings, as_json: bool) -> None:
    """One replica in this process. Raises NarrowsError."""
    from narrows.server.replica import Replica

    async def run() -> None:
        stopped = _on_signal()
        replica = await Replica.start(settings)
        _announce(settings, replica.port, [os.getpid()], "local", as_json)
        await stopped.wait()
        await replica.drain()

    asyncio.run(run())


def serve_ray(
    settings: ServerSettings, replicas: int, ray_address: str | None, as_json: bool
) -> None:
    """`replicas` actors behind one port, on a cluster of one's own or at `ray_address`.

    Raises:
        NarrowsError: what keeps a replica from starting.
    """
    import ray

    from narrows.server.director import NAME, Director

    _connect(ray_address)
    try:
        cores = float(ray.cluster_resources().get("CPU", 1))
        options = {"name": NAME, "num_cpus": 0, "max_concurrency": 1000}
        director: Any = ray.remote(Director).options(**options).remote()
        cpus = min(1.0, cores / replicas)
        port = _unwrapped(lambda: ray.get(director.start.remote(settings, replicas, cpus)))
        pids = ray.get(director.pids.remote())

        async def run() -> None:
            stopped = _on_signal()
            _announce(settings, port, pids, "ray", as_json)
            await stopped.wait()
            await director.drain.remote()

        asyncio.run(run())
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        ray.init(address=address, **quiet)
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray trusts whoever reaches its ports: none of them leaves this host.
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(object_store_memory=OBJECT_STORE_BYTES, **own, **quiet)


def _unwrapped(call: Callable[[], Any]) -> Any:
    """Ray wraps an actor's exception; the user should read the one inside."""
    from ray.exceptions import RayTaskError

    from narrows.errors import NarrowsError

    try:
        return call()
    except RayTaskError as error:
        cause = error.cause
        while isinstance(cause, RayTaskError):
            cause = cause.cause
        if isinstance(cause, NarrowsError):
            raise type(cause)(str(cause)) from None
        raise


def _on_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def _announce(
    settings: ServerSettings, port: int, pids: list[int], executor: str, as_json: bool
) -> None:
    """One line that says frames are welcome; programs wait for it."""
    address = f"{settings.host}:{port}"
    ready = {"address": address, "replicas": pids, "executor": executor}
    text = (
        json.dumps(ready) if as_json else f"serving on {address}: {len(pids)} replicas ({executor})"
    )
    print(text, flush=True)
