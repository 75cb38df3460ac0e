"""An asyncio loop whose clock jumps to the next timer: the server's code in simulated time."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing takes time but timers, and those take none of ours."""

    def __init__(self) -> None:
        self._now = 1.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def monotonic_ns(self) -> int:
        """For code that reads the system's clock."""
        return round(self._now * 1e9)

    def advance(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop):
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout:
            self._loop.advance(timeout)
        return super().select(0)


class TimedThread:
    """In place of a batcher's thread: its work is done, and over, after `duration_s`."""

    def __init__(self, loop: VirtualLoop, duration_s: Callable[[int], float]):
        self._loop, self._duration_s = loop, duration_s

    def submit(self, call: Any, loop: VirtualLoop, batch: list[Any], started_ns: int) -> None:
        self._loop.call_later(self._duration_s(len(batch)), call, loop, batch, started_ns)

    def shutdown(self, **_: bool) -> None:
        pass
