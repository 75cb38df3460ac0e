"""A TCP relay that behaves like a thin link: bytes wait their turn at the rate, then the delay.

One line per direction, shared by all connections, of a constant rate and delay or of a trace's,
kept by a virtual clock: what is late by a timer's coarseness is never added to what follows.
Nothing is lost or reordered (it carries TCP); an outage is a stall, as TCP sees it. IP and TCP
headers are not counted.
"""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

from narrows.errors import ConfigError, LinkError
from narrows.simulations.links.link import Link, open_link
from narrows.simulations.links.pipe import Pipe, Shape

SEGMENT_BYTES = 1448  # what one Ethernet frame carries: connections take turns at this grain
LOOKAHEAD_NS = 10_000_000  # read this far ahead of the line, so that coarse timers never idle it
NEXT_ADDRESS_S = 0.25  # as RFC 8305 recommends


@dataclass(frozen=True)
class ByteCount:
    """Bytes put on the line: up = towards the target, down = back."""

    up: int
    down: int


class Line:
    """One direction of the link: when a byte leaves, and whether any may."""

    def __init__(self, shape: Shape, begins_ns: int = 0):
        """`begins_ns`: the instant of the monotonic clock at which the shape begins."""
        self.carried_bytes = 0
        bytes_ns = shape.peak_bits / 8 / 1e9
        self.segment_bytes = max(SEGMENT_BYTES, int(bytes_ns * 1e6))
        in_flight_bytes = int(bytes_ns * (shape.longest_delay_ns + LOOKAHEAD_NS))
        self.depth = 64 + in_flight_bytes // self.segment_bytes  # segments under way, at most
        self._pipe, self._begins_ns = Pipe(shape), begins_ns
        self._intact = asyncio.Event()
        self._intact.set()

    def reserve(self, size_bytes: int, now_ns: int) -> int:
        """Queue `size_bytes` behind all earlier ones; the instant the last bit arrives, in ns."""
        self.carried_bytes += size_bytes
        return self._pipe.reserve(size_bytes, now_ns - self._begins_ns) + self._begins_ns

    def delay_ns(self, now_ns: int) -> int:
        """The one-way delay of what leaves now."""
        return self._pipe.shape.delay_at(now_ns - self._begins_ns)

    async def room(self) -> None:
        """Wait until the line is nearly free: the sender feels its rate as back-pressure."""
        latest_ns = self._begins_ns - LOOKAHEAD_NS
        while (ahead := self._pipe.busy_until_ns + latest_ns - time.monotonic_ns()) > 0:
            await asyncio.sleep(ahead / 1e9)

    async def until(self, arrival_ns: int) -> None:
        """Wait for an instant, and then for the end of an outage."""
        while (left := arrival_ns - time.monotonic_ns()) > 0:
            await asyncio.sleep(left / 1e9)
        await self._intact.wait()

    def cut(self) -> None:
        """Nothing arrives from now on."""
        self._intact.clear()

    def restore(self) -> None:
        """What waited arrives; the line goes on."""
        self._intact.set()


class Relay:
    """`async with Relay("127.0.0.1:50051", LinkSpec.parse("2mbit,20ms")) as relay: relay.port`."""

    def __init__(
        self,
        target: str,
        up: Shape,
        port: int = 0,
        host: str = "127.0.0.1",
        down: Shape | None = None,
    ):
        """`down`: the shape of the way back, if it is another. It begins when entered.

        Raises:
            ConfigError: `target` is not host:port.
        """
        self._target = _host_and_port(target)
        self._shapes = up, down or up
        self._bind = (host, port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Relay":
        begins_ns = time.monotonic_ns()
        self._up, self._down = (Line(shape, begins_ns) for shape in self._shapes)
        try:
            self._server = await asyncio.start_server(self._accept, *self._bind)
        except OSError as error:
            raise LinkError(f"cannot listen on {self._bind[0]}:{self._bind[1]}: {error}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        connections = tuple(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            raise LinkError("the relay is not listening: use it as `async with Relay(...)`")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def counts(self) -> ByteCount:
        """Bytes put on the line so far, of all connections."""
        return ByteCount(self._up.carried_bytes, self._down.carried_bytes)

    def cut(self) -> None:
        """An outage: connections stay open, and nothing arrives on either side."""
        self._up.cut()
        self._down.cut()

    def restore(self) -> None:
        """The outage ends: what was under way arrives."""
        self._up.restore()
        self._down.restore()

    def reset_connections(self) -> None:
        """Drop every connection, as a changed address or a restarted modem does."""
        for connection in self._connections:
            connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either end hung up, or the relay did: both sides are aborted below
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _carry(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        # The handshake took no time here: charge the round trip that it costs on a real link.
        now_ns = time.monotonic_ns()
        await self._up.until(now_ns + self._up.delay_ns(now_ns) + self._down.delay_ns(now_ns))
        # Of several addresses one may be dead: try the next before the first one times out.
        far_in, far_out = await asyncio.open_connection(
            *self._target, happy_eyeballs_delay=NEXT_ADDRESS_S
        )
        try:
            await _all(_flow(near_in, far_out, self._up), _flow(far_in, near_out, self._down))
        finally:
            far_out.transport.abort()


async def _all(*flows: Coroutine[Any, Any, None]) -> None:
    """Run to the end of all; the first failure ends the others."""
    tasks = [asyncio.ensure_future(flow) for flow in flows]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
    """One direction of one connection, to its end of file."""
    under_way: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(line.depth)
    await _all(_enter(reader, under_way, line), _leave(under_way, writer, line))


async def _enter(
    reader: asyncio.StreamReader, under_way: asyncio.Queue[tuple[int, bytes]], line: Line
) -> None:
    data = b"first"
    while data:
        await line.room()
        data = await reader.read(line.segment_bytes)
        await under_way.put((line.reserve(len(data), time.monotonic_ns()), data))


async def _leave(
    under_way: asyncio.Queue[tuple[int, bytes]], writer: asyncio.StreamWriter, line: Line
) -> None:
    while True:
        arrival_ns, data = await under_way.get()
        await line.until(arrival_ns)
        if not data:
            if writer.can_write_eof():
                writer.write_eof()
            return await _flushed(writer)
        writer.write(data)  # asyncio has set TCP_NODELAY: what arrives goes on at once
        await writer.drain()


async def _flushed(writer: asyncio.StreamWriter) -> None:
    """Wait until the kernel has everything: an abort afterwards loses nothing."""
    writer.transport.set_write_buffer_limits(high=0)
    await writer.drain()


def _host_and_port(target: str) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"relay target {target!r}: expected host:port")
    return host, int(port)


async def _run(target: str, link: Link, port: int, say: Callable[[dict[str, Any]], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with Relay(target, link.up, port, down=link.down) as relay:
        address = f"127.0.0.1:{relay.port}"
        say({"address": address, "port": relay.port, "target": target, "link": link.name})
        await stopped.wait()
        say(asdict(relay.counts))


def main() -> None:
    """Run one relay until SIGTERM; print where it listens, and at the end what it carried."""
    import typer

    def say_json(what: dict[str, Any]) -> None:
        typer.echo(json.dumps(what))

    def say_text(what: dict[str, Any]) -> None:
        typer.echo(", ".join(f"{name} {value}" for name, value in what.items()))

    def relay(
        target: str = typer.Argument(help="Where to relay to, host:port."),
        link: str = typer.Argument(
            help="RATE,DELAY each way, such as 2mbit,20ms (a ping takes twice the delay); a "
            "profile such as lte, or lte:7 with a seed; a trace: a .csv of seconds,kbit/s,ms or "
            "mahimahi's packet times; UP:DOWN are two traces."
        ),
        port: int = typer.Option(0, help="Port to listen on; 0 takes a free one."),
        as_json: bool = typer.Option(False, "--json", help="Both lines as JSON objects."),
    ) -> None:
        """Relay TCP to TARGET over that link, which begins now.

        Prints one line when it listens, and at the end one with the bytes carried each way.
        """
        try:
            say = say_json if as_json else say_text
            asyncio.run(_run(target, open_link(link), port, say))
        except (ConfigError, LinkError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from None

    typer.run(relay)


if __name__ == "__main__":
    main()
