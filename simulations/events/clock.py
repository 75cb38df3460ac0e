"""SimPy's environment in whole nanoseconds: simulated moments are integers, and compare exactly."""

from collections.abc import Callable, Generator
from typing import Any

import simpy

Process = Generator[simpy.Event, Any, None]


class Clock:
    """Simulated time; it stands still while Python computes."""

    def __init__(self) -> None:
        self._env = simpy.Environment(initial_time=0)

    @property
    def now_ns(self) -> int:
        """Since the start."""
        return int(self._env.now)

    def after(self, delay_ns: int, call: Callable[[], Any]) -> simpy.Event:
        """Call later; what was asked for first comes first among equals."""
        event = self._env.timeout(delay_ns)
        event.callbacks.append(lambda _: call())
        return event

    def wait(self, delay_ns: int) -> simpy.Event:
        """For a process to yield."""
        return self._env.timeout(delay_ns)

    def event(self) -> simpy.Event:
        """For one process to yield and another part to `succeed`."""
        return self._env.event()

    def begin(self, process: Process) -> None:
        """Run a process from now on."""
        self._env.process(process)

    def run(self, until_ns: int | None = None) -> None:
        """To a moment, or until nothing is left to happen."""
        self._env.run(until=until_ns)
