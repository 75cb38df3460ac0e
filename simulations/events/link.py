"""A device's link in simulated time: the relay's arithmetic, and cuts at times of faults."""

from collections.abc import Callable

from narrows.simulations.events.clock import Clock
from narrows.simulations.links.pipe import Pipe, Shape


class SimulatedLine:
    """One direction, as `Pipe` has it; a cut is a stall. Several devices may share one."""

    def __init__(self, clock: Clock, shape: Shape):
        self._clock, self._pipe = clock, Pipe(shape)
        self._down_until_ns = 0
        self.carried_bytes = 0

    @property
    def free_ns(self) -> int:
        """When all that was put on it so far has left."""
        return self._pipe.busy_until_ns

    def send(self, size_bytes: int, arrived: Callable[[], None]) -> None:
        """Put bytes on the line; `arrived` is called when the last one is at the other end."""
        self.carried_bytes += size_bytes
        now_ns = self._clock.now_ns
        self._after(self._pipe.reserve(size_bytes, now_ns) - now_ns, arrived)

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
