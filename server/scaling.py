"""How many replicas there should be, from how long frames wait. The rule has no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TARGET_MS = 50.0  # of waiting; above it one more, below a tenth of it one fewer
UP_AFTER, DOWN_AFTER = 3, 60  # looks in a row, so that a burst changes nothing
CROWD = 4  # streams more than another has


@dataclass
class Scaler:
    """Between `least` and `most`, one step at a time; quick to add, slow to take away."""

    least: int
    most: int
    _above: int = 0
    _below: int = 0

    def wanted(self, running: int, waits_ms: Sequence[float]) -> int:
        """After one look at every replica's expected wait."""
        mean = sum(waits_ms) / len(waits_ms) if waits_ms else 0.0
        self._above = self._above + 1 if mean > TARGET_MS else 0
        self._below = self._below + 1 if mean < TARGET_MS / 10 else 0
        if running < self.least:
            return self.least
        if self._above >= UP_AFTER and running < self.most:
            self._above = 0
            return running + 1
        if self._below >= DOWN_AFTER and running > self.least:
            self._below = 0
            return running - 1
        return min(running, self.most)


@dataclass(frozen=True)
class Load:
    """A replica's, at one look."""

    wait_ms: float  # of a frame that came now
    streams: int


@dataclass
class Balancer:
    """Finds a replica that should let streams go to its siblings. Has no clock either."""

    _uneven: int = 0

    def to_shed(self, loads: Mapping[int, Load]) -> tuple[int, float] | None:
        """After one look: which replica should let which share of its streams go.

        The one whose frames wait while a sibling's do not; or the one that has many more streams
        than another, since the kernel deals them blindly.
        """
        if not loads:
            return None
        busiest = max(loads, key=lambda index: (_waits(loads[index]), loads[index].streams))
        most, least = loads[busiest], min(loads.values(), key=lambda load: load.streams)
        idle = min(load.wait_ms for load in loads.values()) < TARGET_MS / 10
        crowded = most.streams - least.streams >= max(CROWD, most.streams / 2)
        self._uneven = self._uneven + 1 if crowded or (_waits(most) and idle) else 0
        if self._uneven < UP_AFTER:
            return None
        self._uneven = 0
        mean = sum(load.streams for load in loads.values()) / len(loads)
        return busiest, max(0.5, 1 - mean / max(1, most.streams)) if crowded else 0.5


def _waits(load: Load) -> bool:
    return load.wait_ms > TARGET_MS
