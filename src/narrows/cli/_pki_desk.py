"""The authority's desk as a process."""

import asyncio
import json
import signal
from pathlib import Path

from narrows.server.desk import open_desk
from narrows.server.logs import set_up_logs


def run_desk(folder: Path, host: str, port: int, days: float, as_json: bool) -> None:
    """Until SIGTERM or SIGINT. Raises ConfigError, LinkError."""
    set_up_logs("text", "info")
    asyncio.run(_serve(folder, host, port, days, as_json))


async def _serve(folder: Path, host: str, port: int, days: float, as_json: bool) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server, bound = await open_desk(folder, host, port, days)
    address = f"{host}:{bound}"
    told = json.dumps({"address": address}) if as_json else f"the desk is open at {address}"
    print(told, flush=True)
    await stopped.wait()
    await server.stop(5)
