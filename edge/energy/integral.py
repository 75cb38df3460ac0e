"""Watts over time: what a meter's samples add up to, by the trapezoid rule."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from narrows.edge.energy.sensor import About, Meter
from narrows.errors import SensorError


class Integral:
    """A meter as a sensor. Every reading is a sample too; between two, power is taken as a line."""

    def __init__(self, meter: Meter, clock: Callable[[], float] = time.monotonic):
        """`clock` in seconds. Raises SensorError: the meter cannot be read."""
        self._meter, self._clock, self._lock = meter, clock, threading.Lock()
        self._joules, self._at_s, self._watts = 0.0, clock(), meter.watts()

    @property
    def about(self) -> About:
        """The meter's."""
        return self._meter.about

    def joules(self) -> float:
        """Since it was opened, to this moment. Raises SensorError."""
        with self._lock:
            watts, at_s = self._meter.watts(), self._clock()
            self._joules += (watts + self._watts) / 2 * max(0.0, at_s - self._at_s)
            self._watts, self._at_s = watts, at_s
            return self._joules


@contextmanager
def sampled(integral: Integral, every_s: float) -> Iterator[Integral]:
    """Read it every so often in a thread of its own, while the context lasts.

    A sample that fails is left out: the line goes on to the next one.
    """
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(every_s):
            with suppress(SensorError):
                integral.joules()

    thread = threading.Thread(target=run, name="energy", daemon=True)
    thread.start()
    try:
        yield integral
    finally:
        stopped.set()
        thread.join()
