"""One direction of a link as arithmetic: bytes wait their turn at the rate, then the delay.

The relay asks it by the machine's clock and a simulation by a virtual one: the same instants.
"""

from typing import Protocol


class Shape(Protocol):
    """How fast a link is and how late, over the time since it began."""

    @property
    def peak_bits(self) -> float:
        """The highest rate it ever has, in bits a second."""
        ...

    @property
    def longest_delay_ns(self) -> int:
        """The longest one-way delay it ever has."""
        ...

    def finished_ns(self, size_bytes: int, start_ns: int) -> int:
        """The instant the last of these bytes has left a line that is free from `start_ns` on."""
        ...

    def delay_at(self, at_ns: int) -> int:
        """The one-way delay, in ns, of what leaves at that instant."""
        ...


class Pipe:
    """A line of a shape, first in, first out: nothing is lost and nothing overtakes."""

    def __init__(self, shape: Shape):
        self.shape = shape
        self.busy_until_ns = 0
        self._arrived_ns = 0

    def reserve(self, size_bytes: int, now_ns: int) -> int:
        """Queue bytes behind all earlier ones; the instant the last of them arrives, in ns."""
        start_ns = max(self.busy_until_ns, now_ns)
        self.busy_until_ns = self.shape.finished_ns(size_bytes, start_ns)
        late_ns = self.busy_until_ns + self.shape.delay_at(self.busy_until_ns)
        self._arrived_ns = max(self._arrived_ns, late_ns)
        return self._arrived_ns
