"""What a server is told once, at its start."""

from dataclasses import dataclass, field
from pathlib import Path

from narrows.models.tail_options import TailOptions


@dataclass(frozen=True)
class ServerSettings:
    """Limits and places; every replica of a server gets the same."""

    bundles: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    share_port: bool = False  # several replicas listen on one port (SO_REUSEPORT)
    max_batch: int = 16  # frames decoded and run together
    max_waiting: int = 256  # frames in a replica's queue; more are answered OVERLOADED
    max_in_flight: int = 64  # unanswered frames of one stream; more are left unread
    max_frame_bytes: int = 1 << 20  # a packet or picture
    max_picture_pixels: int = 1 << 22  # of an uploaded picture, checked before it is decoded
    threads: int = 2  # for entropy decoding and the tail
    tail: TailOptions = field(default_factory=TailOptions)  # on which device and how the tail runs
    tls: Path | None = None  # this server's credentials; None: plain text
    quotas: Path | None = None  # what each device may use; None: no limits
    console: int | None = None  # port of the console on loopback; None: no console
    trust: Path | None = None  # Ed25519 key that every bundle must be signed by
    verify_share: float = 0.0  # of answers that other replicas compute again
    log: str = "text"  # or json
    log_level: str = "info"
    drain_seconds: float = 10.0  # longest wait for accepted frames at shutdown
