"""A replica as a Ray actor: a process of its own that outlives its director, for a while."""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from narrows.server.logs import set_up_logs
from narrows.server.placement import PlacedBundle, at_hand
from narrows.server.scaling import Load
from narrows.server.settings import ServerSettings

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
LEASE_SECONDS = 60.0


class ReplicaActor:
    """A Replica in a process of its own. Frames never come this way: it listens itself."""

    async def start(
        self, settings: ServerSettings, bundles: Sequence[PlacedBundle]
    ) -> tuple[int, str]:
        """Serve; returns this process's id and its node's."""
        from narrows.server.replica import Replica  # torch: the director itself does without

        set_up_logs(settings.log, settings.log_level)
        settings = replace(settings, bundles=tuple(await _at_hand(bundles)))
        self._replica = await Replica.start(settings)
        self._heard_s = time.monotonic()
        self._lease = asyncio.create_task(self._expire())
        return os.getpid(), _node()

    async def where(self) -> tuple[int, int, str]:
        """Its port, process and node, for a director that comes later."""
        self._heard_s = time.monotonic()
        return self._replica.port, os.getpid(), _node()

    async def load(self) -> Load:
        """How busy it is. Whoever asks is its director."""
        self._heard_s = time.monotonic()
        return self._replica.load()

    async def shed(self, share: float) -> None:
        """Let that share of the streams go: their devices open new ones, some with siblings."""
        self._replica.shed(share)

    async def samples(self) -> tuple[str, list[Any]]:
        """Its name and what it has counted."""
        return self._replica.name, self._replica.samples()

    async def spot_checks(self) -> list[tuple[bytes, bytes]]:
        return self._replica.spot_checks()

    async def recompute(self, frame: bytes) -> bytes | None:
        return await self._replica.recompute(frame)

    async def accept(self, bundles: Sequence[PlacedBundle]) -> None:
        await self._replica.accept(await _at_hand(bundles))

    async def announce(self) -> None:
        self._replica.announce()

    async def drain(self) -> None:
        await self._replica.drain()

    async def forever(self) -> None:
        """Never returns: whoever awaits it learns of this process's death."""
        await asyncio.Event().wait()

    async def _expire(self) -> None:
        while time.monotonic() - self._heard_s < LEASE_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
        log.error("no director for %.0f s: draining", LEASE_SECONDS)
        await self._replica.drain()
        os._exit(0)  # Ray's own way out works in a call alone


async def _at_hand(bundles: Sequence[PlacedBundle]) -> list[Path]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "narrows" / "served"
    return [await asyncio.to_thread(at_hand, bundle, cache) for bundle in bundles]


def _node() -> str:
    return str(ray.get_runtime_context().get_node_id())
