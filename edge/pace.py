"""When a device takes its frames."""

import asyncio
from contextlib import suppress
from time import monotonic_ns

LONGEST_NS = 1_000_000_000  # of a frame's time that its rest is measured by: a camera may hang


class Pace:
    """When frames are due. A frame that is late does not make its followers hurry."""

    def __init__(self, fps: float | None, stop: asyncio.Event):
        """Without `fps` frames are due as fast as they are asked for. `stop` ends the waiting."""
        self._period_ns = round(1e9 / fps) if fps else None
        self._last_ns: int | None = None
        self._stop = stop

    async def due(self, one_in: int = 1) -> int:
        """Wait until the next frame is due, by a rate that is `one_in` times lower; that instant.

        In ns. Without a rate it rests for as long as that many frames fewer leave.
        """
        now_ns = monotonic_ns()
        due_ns = max(now_ns, self._next_ns(now_ns, one_in))
        if due_ns > now_ns:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), (due_ns - now_ns) / 1e9)
        self._last_ns = due_ns
        return due_ns

    def _next_ns(self, now_ns: int, one_in: int) -> int:
        if self._last_ns is None:
            return now_ns
        if self._period_ns is not None:
            return self._last_ns + self._period_ns * one_in
        return now_ns + (one_in - 1) * min(now_ns - self._last_ns, LONGEST_NS)
