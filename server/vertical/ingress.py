"""Where parties connect: a Ray actor with a gRPC server. It relays, and understands little.

What a party answers becomes a Ray object, so that the coordinator waits for parties as Ray waits
for anything: `ray.wait(answers, num_returns=R)`, and shares never pass through its process twice.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.protos.narrows.v1 import vertical_pb2_grpc as pb_grpc
from narrows.security.credentials import server_credentials
from narrows.server.console import Console
from narrows.server.guard import Guard, GuardInterceptor, Visitor
from narrows.server.logs import set_up_logs
from narrows.server.samples import DIRECTOR, Sample
from narrows.server.vertical.seat import Seat

log = logging.getLogger(__name__)
MESSAGE_BYTES = 256 << 20  # a table's share is one message
HELLO_SECONDS = 10.0
MOST_CHARACTERS = 64  # of a party's name
SEATED = (("narrows-seated", "1"),)  # before the first question: the party was let in
SILENCE_MS = 5_000  # of a party, before HTTP/2 asks for a sign of life, and for the sign


@dataclass(frozen=True)
class IngressSettings:
    """How parties reach it, and who may."""

    parties: int
    names: Sequence[str] = ()  # if any, none but these
    host: str = "127.0.0.1"
    port: int = 0
    tls: Path | None = None
    console: int | None = None
    log: str = "text"
    log_level: str = "info"


class Ingress(pb_grpc.VerticalServicer):
    """N seats. Whoever comes back takes its own again."""

    async def start(self, settings: IngressSettings) -> tuple[int, int | None]:
        """Listen; the ports of parties and of the console. Raises ConfigError."""
        set_up_logs(settings.log, settings.log_level)
        self._settings, self._seats = settings, dict[str, Seat]()
        self._news = asyncio.Condition()
        self._digest = b""  # of the terms, once the session has begun
        self._samples: list[Sample] = []
        guard = Guard(settings.tls, None)
        self._guard = guard
        self._server = grpc.aio.server(
            interceptors=[GuardInterceptor(guard)],
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES),
                ("grpc.max_send_message_length", MESSAGE_BYTES),
                ("grpc.keepalive_time_ms", SILENCE_MS),
                ("grpc.keepalive_timeout_ms", SILENCE_MS),
                ("grpc.http2.ping_timeout_ms", SILENCE_MS),
                ("grpc.so_reuseport", 0),
            ],
        )
        pb_grpc.add_VerticalServicer_to_server(self, self._server)
        address = f"{settings.host}:{settings.port}"
        try:
            if settings.tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, server_credentials(settings.tls))
        except RuntimeError:
            raise ConfigError(f"--port {settings.port}: taken, or none of this host") from None
        await self._server.start()
        console = None
        if settings.console is not None:
            self._console = Console(self._told, ())
            await self._console.start("127.0.0.1", settings.console)
            console = self._console.port
        return port, console

    async def gather(self, parties: int) -> list[str]:
        """The names of those present, sorted, as soon as there are that many."""
        async with self._news:
            await self._news.wait_for(lambda: len(self._present()) >= parties)
        return self._present()

    async def present(self) -> list[str]:
        """The names of those here now, sorted."""
        return self._present()

    async def begin(self, names: Sequence[str], digest: bytes) -> None:
        """From now on these and no others, and who comes back must have kept that session."""
        self._seats = {name: self._seats.get(name) or Seat(name) for name in names}
        self._digest = digest

    async def ask(self, name: str, content: bytes) -> tuple[str, bytes]:
        """A party's answer, its kind first; `GONE` where it is not here, or leaves meanwhile."""
        answer = await self._seats[name].ask(content)
        return answer.kind, answer.body

    async def silent_s(self) -> dict[str, float | None]:
        """Seconds since each party was heard; None: it has no stream."""
        now_s = time.monotonic()
        return {n: now_s - s.heard_s if s.present else None for n, s in self._seats.items()}

    async def tell(self, samples: list[Sample]) -> None:
        """What the console and Prometheus are shown."""
        self._samples = samples

    async def close(self) -> None:
        """End the streams, then the server."""
        await self._server.stop(1.0)

    async def Join(
        self, request_iterator: AsyncIterator[pb.PartyMessage], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.CoordinatorMessage]:
        """One party's stream."""
        first = await self._first(request_iterator, context)
        seat = await self._seat(first, context)
        stream = object()
        seat.sit(stream, first)
        log.info("%s: here", seat.name)
        await context.send_initial_metadata(SEATED)
        visitor = self._guard.visitor(context)
        reading = asyncio.create_task(self._read(seat, stream, request_iterator, visitor))
        async with self._news:
            self._news.notify_all()
        try:
            async for question in seat.questions(stream):
                yield question
            if seat.present:
                await context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION, f"{seat.name!r}: another came in its name"
                )
        finally:
            reading.cancel()
            self._leave(seat, stream)

    async def _read(
        self,
        seat: Seat,
        stream: object,
        messages: AsyncIterator[pb.PartyMessage],
        visitor: Visitor | None,
    ) -> None:
        try:
            async for message in messages:
                if visitor and self._guard.revoked(visitor):
                    log.warning("%s: its certificate is revoked", seat.name)
                    break
                seat.answered(message)
        except Exception as error:  # the stream broke, or what came is no message
            log.debug("%s: %s", seat.name, error)
        finally:
            self._leave(seat, stream)

    def _leave(self, seat: Seat, stream: object) -> None:
        if seat.leave(stream):
            log.info("%s: gone", seat.name)

    async def _first(
        self, messages: AsyncIterator[pb.PartyMessage], context: grpc.aio.ServicerContext
    ) -> pb.Hello:
        try:
            message = await asyncio.wait_for(messages.__aiter__().__anext__(), HELLO_SECONDS)
        except (asyncio.TimeoutError, StopAsyncIteration):
            message = pb.PartyMessage()
        if not message.HasField("hello"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "expected a Hello first")
        return message.hello

    async def _seat(self, hello: pb.Hello, context: grpc.aio.ServicerContext) -> Seat:
        visitor = self._guard.visitor(context)
        name = hello.name
        refusal = self._refusal(name, hello)
        if visitor and visitor.identity and visitor.name != name:
            refusal = f"its certificate is of {visitor.name!r}"
        if refusal:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{name[:64]!r}: {refusal}")
        if not self._digest and name in self._present():  # nothing tells yet who is the right one
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name!r} is here already")
        return self._seats.setdefault(name, Seat(name))

    def _refusal(self, name: str, hello: pb.Hello) -> str | None:
        if not name or len(name) > MOST_CHARACTERS:
            return f"expected a name of 1 to {MOST_CHARACTERS} characters"
        if self._settings.names and name not in self._settings.names:
            return f"not one of the parties {', '.join(self._settings.names)}"
        if self._digest and name not in self._seats:
            return "the session has begun without it"
        if self._digest and hello.terms_digest != self._digest:
            return "the session has begun: come back with the folder it was begun with"
        others = [other for other in self._present() if other != name]
        if len(others) >= self._settings.parties:
            return f"all {self._settings.parties} parties are here"
        return None

    def _present(self) -> list[str]:
        return sorted(name for name, seat in self._seats.items() if seat.present)

    async def _told(self) -> dict[str, list[Sample]]:
        return {DIRECTOR: self._samples}
