"""A device's link in simulated time: the relay's rule, a line each way and the delay after it."""

from collections.abc import Callable

from narrows.simulations.events.clock import Clock
from narrows.simulations.links.spec import LinkSpec


def link_named(text: str) -> LinkSpec:
    """A link profile by what a scenario calls it; today RATE,DELAY. Raises ConfigError."""
    return LinkSpec.parse(text)


class SimulatedLine:
    """One direction: bytes wait their turn at the rate, then the delay; an outage is a stall."""

    def __init__(self, clock: Clock, spec: LinkSpec):
        self._clock, self._spec = clock, spec
        self._free_ns = 0
        self._down_until_ns = 0
        self.carried_bytes = 0

    def send(self, size_bytes: int, arrived: Callable[[], None]) -> None:
        """Put bytes on the line; `arrived` is called when the last one is at the other end."""
        start = max(self._free_ns, self._clock.now_ns)
        self._free_ns = start + self._spec.serialisation_ns(size_bytes)
        self.carried_bytes += size_bytes
        self._after(self._free_ns + self._spec.delay_ns - self._clock.now_ns, arrived)

    def cut(self, for_ns: int) -> None:
        """Nothing arrives for so long; then what waited does."""
        self._down_until_ns = max(self._down_until_ns, self._clock.now_ns + for_ns)

    def _after(self, delay_ns: int, arrived: Callable[[], None]) -> None:
        def at_the_end() -> None:
            left_ns = self._down_until_ns - self._clock.now_ns
            if left_ns > 0:
                self._after(left_ns, arrived)
            else:
                arrived()

        self._clock.after(delay_ns, at_the_end)
