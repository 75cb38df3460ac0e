"""What is asked of the server for a frame."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """By which bundle, for what, and how soon."""

    bundle: str  # its name; empty: by the packet's digest
    tasks: tuple[str, ...]  # none: all the bundle has
    deadline_ms: int  # from the instant its latency counts from
