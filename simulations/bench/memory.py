"""How much memory processes have while something else goes on, and whether it grows."""

import contextlib
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

import numpy as np
import psutil

EVERY_S = 5.0
WARM = 0.1  # of the time, before the slope begins
LEAST = 20  # samples for a slope


class Memory:
    """`with Memory(processes) as memory: ...` looks every five seconds, and at both ends."""

    def __init__(self, processes: Sequence[psutil.Process]):
        self._processes, self._stopped = processes, threading.Event()
        self._samples: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Memory":
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._look()

    def figures(self) -> dict[str, Any]:
        """MB at both ends; MB per hour by least squares over all but the first tenth, or None."""
        at, mb = np.array(self._samples).T
        warm = at >= at[0] + WARM * (at[-1] - at[0])
        slope = np.polyfit(at[warm], mb[warm], 1)[0] * 3600 if warm.sum() >= LEAST else None
        return {
            "rss_mb_start": float(mb[0]), "rss_mb_end": float(mb[-1]),
            "rss_mb_per_hour": None if slope is None else float(slope),
        }  # fmt: skip

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # whoever needs it finds out by itself
            rss = sum(process.memory_info().rss for process in self._processes)
            self._samples.append((monotonic(), rss / 1e6))
