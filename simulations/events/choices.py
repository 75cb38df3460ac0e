"""What is decided for each frame, as a replaceable part: today one operating point for all.

A choice is asked before a frame is computed, with what a device knows at that moment. Another one
is a function that `CHOICES` names: a scenario's `ways` then run it beside the fixed points.
"""

from collections.abc import Callable
from dataclasses import dataclass

from narrows.errors import ConfigError


@dataclass(frozen=True)
class Moment:
    """What a device knows when it is about to compute a frame."""

    now_s: float
    in_flight: int
    packet_bytes: dict[int, float]  # by operating point
    accuracy: dict[int, float]
    last_latency_ms: float | None  # of its latest answer; None before the first
    deadline_ms: float


Choice = Callable[[Moment], int]  # an operating point


def fixed(argument: str) -> Choice:
    """`fixed:POINT`: the same operating point for every frame."""
    if not argument.isdigit():
        raise ConfigError(f"way 'fixed:{argument}': expected an operating point, as fixed:0")
    point = int(argument)
    return lambda _: point


CHOICES: dict[str, Callable[[str], Choice]] = {"fixed": fixed}


def choice_named(text: str) -> Choice:
    """A choice from a scenario's `NAME:ARGUMENT`. Raises ConfigError: there is no such one."""
    name, _, argument = text.partition(":")
    if name not in CHOICES:
        raise ConfigError(f"way {text!r}: expected one of {', '.join(CHOICES)}, as fixed:0")
    return CHOICES[name](argument)
