"""A link that changes: rates and delays over time, from a file or made by a profile.

Integers throughout, so that the same trace gives the same instants on every machine. A trace
begins again at its end. A rate of 0 is a stall or an outage: what is under way waits.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from narrows.errors import ConfigError

MAX_SEGMENTS = 1_000_000
MAX_RATE_BITS = 10**12
MAX_DELAY_NS = 60 * 10**9


class Trace:
    """Piecewise constant rate and delay; a `Shape` for `Pipe` and for the relay."""

    def __init__(
        self,
        durations_ns: Sequence[int],
        rates_bits: Sequence[int],
        delays_ns: Sequence[int],
    ):
        """Segments in order, of equal length each: how long, bits a second, one-way delay.

        Raises:
            ConfigError: none, too many, of no duration, or nothing ever passes.
        """
        _check(durations_ns, rates_bits, delays_ns)
        self._rates, self._delays = tuple(rates_bits), tuple(delays_ns)
        self._ends = tuple(accumulate(durations_ns))
        self._starts = (0, *self._ends[:-1])
        # In bits times ns per second: what a rate carries in a whole number of ns is whole.
        self._carried = tuple(accumulate(d * r for d, r in zip(durations_ns, rates_bits,
                                                              strict=True)))  # fmt: skip
        self.peak_bits = float(max(rates_bits))
        self.longest_delay_ns = max(delays_ns)

    @property
    def period_ns(self) -> int:
        """After so long it begins again."""
        return self._ends[-1]

    @property
    def mean_bits(self) -> float:
        """The rate over a whole period, in bits a second."""
        return self._carried[-1] / self.period_ns

    @property
    def silent_share(self) -> float:
        """Which part of the time nothing passes."""
        lasts = zip(self._starts, self._ends, self._rates, strict=True)
        return sum(end - start for start, end, rate in lasts if not rate) / self.period_ns

    def rate_at(self, at_ns: int) -> int:
        """Bits a second at that instant."""
        return self._rates[self._index(at_ns)]

    def delay_at(self, at_ns: int) -> int:
        """The one-way delay, in ns, of what leaves at that instant."""
        return self._delays[self._index(at_ns)]

    def finished_ns(self, size_bytes: int, start_ns: int) -> int:
        """The first whole ns at which so many bytes have left, begun at `start_ns`."""
        if size_bytes <= 0:
            return start_ns
        work = self._carried_until(start_ns) + size_bytes * 8 * 10**9
        periods, rest = divmod(work, self._carried[-1])
        if rest == 0:  # it ends where a period's last bit does, not where the next begins
            periods, rest = periods - 1, self._carried[-1]
        index = bisect_left(self._carried, rest)
        before = self._carried[index - 1] if index else 0
        within_ns = -(-(rest - before) // self._rates[index])
        return periods * self.period_ns + self._starts[index] + within_ns

    def _carried_until(self, at_ns: int) -> int:
        periods, within_ns = divmod(at_ns, self.period_ns)
        index = self._index(at_ns)
        before = self._carried[index - 1] if index else 0
        partly = (within_ns - self._starts[index]) * self._rates[index]
        return periods * self._carried[-1] + before + partly

    def _index(self, at_ns: int) -> int:
        return bisect_right(self._starts, at_ns % self.period_ns) - 1


def _check(durations: Sequence[int], rates: Sequence[int], delays: Sequence[int]) -> None:
    if not 0 < len(durations) <= MAX_SEGMENTS or not len(durations) == len(rates) == len(delays):
        raise ConfigError(f"a trace of {len(durations)} segments: expected 1 to {MAX_SEGMENTS:,}")
    if min(durations) <= 0:
        raise ConfigError("a trace's instants must ascend")
    if not all(0 <= rate <= MAX_RATE_BITS for rate in rates) or not any(rates):
        raise ConfigError("a trace's rates must be 0 to 1 Tbit/s, and not all 0")
    if not all(0 <= delay <= MAX_DELAY_NS for delay in delays):
        raise ConfigError("a trace's delays must be 0 to a minute")
