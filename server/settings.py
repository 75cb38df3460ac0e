"""What a server is told once, at its start."""

from dataclasses import dataclass
from pathlib import Path


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
    drain_seconds: float = 10.0  # longest wait for accepted frames at shutdown
