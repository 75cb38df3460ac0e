"""One thing that was looked at, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line: `advice` is empty when nothing is wrong."""

    name: str
    found: str
    ok: bool
    required: bool
    advice: str = ""
