"""A web page with what the replicas do, live by server-sent events, and Prometheus' page beside it.

/             the page: no framework, nothing from elsewhere
/events       figures as they change, one JSON object a second
/figures.json the same, once
/metrics      for Prometheus
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.server.exposition import prometheus_page
from narrows.server.overview import figures
from narrows.server.samples import Replicas

WEB = Path(__file__).parent / "web"
FILES = {"/": "index.html"} | {f"/{n}": n for n in ("console.js", "charts.js", "console.css")}
EVERY_SECONDS = 1.0
HEADERS = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

Collect = Callable[[], Awaitable[Replicas]]


class Console:
    """Serves the page until `close`. Whoever reaches it may look; it changes nothing."""

    def __init__(self, collect: Collect, bundles: Sequence[Manifest]):
        """`collect`: every replica's samples by its name."""
        self._collect, self._bundles = collect, bundles
        app = web.Application()
        for path in FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/events", self._events)
        app.router.add_get("/figures.json", self._figures)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; 0 takes a free port. Raises ConfigError where it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(f"--console {port}: {error.strerror}: choose another port") from None
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Hang up on everybody who looks."""
        await self._runner.cleanup()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(WEB / FILES[request.path], headers=HEADERS)

    async def _told(self) -> str:
        return json.dumps(figures(await self._collect(), self._bundles))

    async def _figures(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            text=await self._told(), content_type="application/json", headers=HEADERS
        )

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        page = prometheus_page(await self._collect())
        return web.Response(
            body=page.encode(), headers=HEADERS | {"Content-Type": "text/plain; version=0.0.4"}
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(f"data: {await self._told()}\n\n".encode())
                await asyncio.sleep(EVERY_SECONDS)
        except (ConnectionResetError, ConnectionError):
            return response  # nobody looks any more
