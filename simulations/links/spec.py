"""What a link is: a rate and a one-way delay, the same in both directions. "2mbit,20ms"."""

import re
from dataclasses import dataclass

from narrows.errors import ConfigError

_RATE_UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_DELAY_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)")
MAX_DELAY_MS = 60_000.0


@dataclass(frozen=True)
class LinkSpec:
    """A symmetric link; a round trip takes twice the delay."""

    rate_bits: float  # per second, each way; payload of TCP, without IP and TCP headers
    delay_ms: float  # one way

    @classmethod
    def parse(cls, text: str) -> "LinkSpec":
        """Read `RATE[,DELAY]`, such as `2mbit,20ms`, `64kbit` or `1.5gbit,500us`.

        Raises:
            ConfigError: another form, an unknown unit, a rate of 0 or a delay over a minute.
        """
        rate, _, delay = text.strip().lower().partition(",")
        spec = cls(
            rate_bits=_quantity(rate, _RATE_UNITS, text),
            delay_ms=_quantity(delay, _DELAY_UNITS, text) if delay else 0.0,
        )
        if spec.rate_bits <= 0:
            raise ConfigError(f"link {text!r}: the rate must be above 0")
        if spec.delay_ms > MAX_DELAY_MS:
            raise ConfigError(f"link {text!r}: the delay must be at most {MAX_DELAY_MS / 1e3:.0f}s")
        return spec

    def serialisation_ns(self, size_bytes: int) -> int:
        """Nanoseconds the line is busy with that many bytes, rounded up."""
        return -int(-size_bytes * 8 * 1e9 // self.rate_bits)

    @property
    def delay_ns(self) -> int:
        """The one-way delay in nanoseconds."""
        return round(self.delay_ms * 1e6)

    @property
    def peak_bits(self) -> float:
        """The rate: it never has another."""
        return self.rate_bits

    @property
    def longest_delay_ns(self) -> int:
        """The delay: it never has another."""
        return self.delay_ns

    def finished_ns(self, size_bytes: int, start_ns: int) -> int:
        """The instant the last of these bytes has left a line that is free from `start_ns` on."""
        return start_ns + self.serialisation_ns(size_bytes)

    def delay_at(self, at_ns: int) -> int:
        """The one-way delay, in ns: the same at every instant."""
        return self.delay_ns

    def __str__(self) -> str:
        unit = next(
            u for u in ("gbit", "mbit", "kbit") if self.rate_bits >= _RATE_UNITS[u] or u == "kbit"
        )
        return f"{self.rate_bits / _RATE_UNITS[unit]:g}{unit},{self.delay_ms:g}ms"


def _quantity(text: str, units: dict[str, float], whole: str) -> float:
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise ConfigError(
            f"link {whole!r}: expected a number and one of {', '.join(units)}, got {text!r}: "
            "write for example 2mbit,20ms"
        )
    return float(match[1]) * units[match[2]]
