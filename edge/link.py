"""The connection to a server: channel options that notice a dead peer, backoff, clock pings."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns

import grpc

from narrows.edge.timing import ClockOffset
from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.security.credentials import device_credentials

PINGS = 8
MAX_MESSAGE_BYTES = 4 << 20  # what a gRPC server accepts unless told otherwise


@dataclass(frozen=True)
class LinkSettings:
    """How patient a session is. The defaults suit a link of 64 kbit/s and up."""

    window: int = 4  # frames in flight
    deadline_ms: int = 10_000  # of each frame, from its capture
    give_up_s: float = 30.0  # without any connection
    backoff_initial_s: float = 0.05
    backoff_cap_s: float = 1.5
    max_retries: int = 4  # of a frame the server asks to send again
    connect_timeout_s: float = 5.0  # at most; the first attempts are shorter
    silence_s: float = 0.9  # of a server that owes answers, before it is asked for a sign of life
    sign_s: float = 1.8  # for the sign, beside what the bytes on the wire take at 64 kbit/s
    keepalive_ms: int = 20_000  # the same two of a server that owes nothing, by HTTP/2
    first_wait_s: float | None = None  # for the first connection, then without; None: to the end
    tls: Path | None = None  # this device's credentials; None: plain text

    def __post_init__(self) -> None:
        for name in (
            "window",
            "deadline_ms",
            "give_up_s",
            "keepalive_ms",
            "connect_timeout_s",
            "silence_s",
            "sign_s",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected more than 0")


@dataclass
class Backoff:
    """Exponential backoff with full jitter: uniform in 0 .. min(cap, initial * 2^attempt)."""

    initial_s: float
    cap_s: float
    jitter: random.Random = field(default_factory=random.SystemRandom)
    attempt: int = 0

    def next_s(self) -> float:
        """Seconds to wait now; the ceiling doubles each time."""
        ceiling = min(self.cap_s, self.initial_s * 2.0 ** min(self.attempt, 32))
        self.attempt += 1
        return self.jitter.uniform(0.0, ceiling)

    def reset(self) -> None:
        """The peer answered: start again from `initial_s`."""
        self.attempt = 0


def open_channel(
    address: str, settings: LinkSettings, message_bytes: int = MAX_MESSAGE_BYTES
) -> grpc.aio.Channel:
    """A fresh channel, with no memory of earlier failures, for messages up to that size.

    gRPC's defaults never notice a silent partition or a frozen peer. The keepalive finds the
    first; `ping_timeout_ms` is what makes it find the second before a minute has gone.
    """
    options = {
        "grpc.keepalive_time_ms": settings.keepalive_ms,
        "grpc.keepalive_timeout_ms": settings.keepalive_ms,
        "grpc.http2.ping_timeout_ms": settings.keepalive_ms,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.initial_reconnect_backoff_ms": round(settings.backoff_initial_s * 1e3),
        "grpc.max_reconnect_backoff_ms": round(settings.backoff_cap_s * 1e3),
        "grpc.min_reconnect_backoff_ms": round(settings.connect_timeout_s * 1e3),
        "grpc.use_local_subchannel_pool": 1,
        "grpc.max_send_message_length": message_bytes,
        "grpc.max_receive_message_length": message_bytes,
        "grpc.enable_retries": 0,  # resending is the session's: frame ids make it safe
    }
    listed = list(options.items())
    if settings.tls is None:
        return grpc.aio.insecure_channel(check_address(address), options=listed)
    credentials = device_credentials(settings.tls)
    return grpc.aio.secure_channel(check_address(address), credentials, options=listed)


def check_address(address: str) -> str:
    """`host:port` unchanged. Raises ConfigError for anything else."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"server {address!r}: expected host:port, such as 127.0.0.1:50051")
    return address


def addresses_of(servers: str) -> tuple[str, ...]:
    """`host:port,host:port,...` -> its addresses. Raises ConfigError."""
    return tuple(check_address(address.strip()) for address in servers.split(","))


async def measure_clock(
    stub: inference_pb2_grpc.InferenceStub,
    timeout_s: float,
    on_offset: Callable[[ClockOffset], None],
) -> None:
    """Ping 8 times, one after the other; report each. Raises grpc.aio.AioRpcError."""
    for _ in range(PINGS):
        sent_ns = monotonic_ns()
        reply = await stub.Ping(inference_pb2.PingRequest(), timeout=timeout_s)
        on_offset(ClockOffset.from_ping(sent_ns, reply.received_ns, monotonic_ns()))
        await asyncio.sleep(0)
