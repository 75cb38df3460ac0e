"""How busy others keep a machine: a thread that only sleeps, and how late it wakes up.

It asks for next to nothing, so what it waits for is others' work. A comparison of moments says
with it which of them fell into a busy one, without a look at what was compared.
"""

import threading
import time
from types import TracebackType

import numpy as np

PERIOD_S = 0.005


class Bystander:
    """`with Bystander() as bystander: ...; bystander.late_ms(99)`."""

    def __init__(self) -> None:
        self._late_ms: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sleep, daemon=True)

    def __enter__(self) -> "Bystander":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def late_ms(self, percent: float) -> float:
        """A percentile of how late it woke up; 0 before it first did."""
        return float(np.percentile(self._late_ms, percent)) if self._late_ms else 0.0

    def _sleep(self) -> None:
        woke, done = time.monotonic(), False
        while not done:
            done = self._done.is_set()  # before a sleep, so that what came earlier is still counted
            time.sleep(PERIOD_S)
            now = time.monotonic()
            self._late_ms.append(1e3 * max(0.0, now - woke - PERIOD_S))
            woke = now
