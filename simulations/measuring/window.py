"""What is spent while devices are at work: energy, and processor time of server and machine.

Starting Python and loading a head takes longer than many frames do. So the window opens when every
device has told of its first frame, and closes with the last frame of all.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from narrows.edge.energy.cpu_time import machine_s, process_s
from narrows.edge.energy.sensor import Sensor


@dataclass(frozen=True)
class Spent:
    """Over a while; `frames` were told of in it."""

    frames: int
    seconds: float
    joules: tuple[float, ...]  # by each sensor
    machine_s: float  # of processor
    server_s: float  # of processor

    def __add__(self, other: "Spent") -> "Spent":
        """Both whiles together."""
        return Spent(
            self.frames + other.frames,
            self.seconds + other.seconds,
            tuple(a + b for a, b in zip(self.joules, other.joules, strict=True)),
            self.machine_s + other.machine_s,
            self.server_s + other.server_s,
        )


@dataclass(frozen=True)
class Instant:
    """Everything that counts up, at one moment."""

    at_s: float
    joules: tuple[float, ...]
    machine_s: float
    server_s: float

    def until(self, later: "Instant", frames: int) -> Spent:
        """What was spent in between."""
        return Spent(
            frames,
            later.at_s - self.at_s,
            tuple(b - a for a, b in zip(self.joules, later.joules, strict=True)),
            later.machine_s - self.machine_s,
            later.server_s - self.server_s,
        )


def looking_at(sensors: Sequence[Sensor], server_pids: Sequence[int]) -> Callable[[], Instant]:
    """A function that reads them all. Raises SensorError when it is called."""

    def look() -> Instant:
        joules = tuple(sensor.joules() for sensor in sensors)
        return Instant(time.monotonic(), joules, machine_s(), sum(map(process_s, server_pids)))

    return look


class Window:
    """Told of frames as they come, from several threads."""

    def __init__(self, look: Callable[[], Instant], devices: int, frames: int):
        """`frames`: how many all devices together will tell of."""
        self._look, self._devices, self._frames = look, devices, frames
        self._lock, self._seen, self._told, self._inside = threading.Lock(), set[int](), 0, 0
        self._opened: Instant | None = None
        self._closed: Instant | None = None

    def on_record(self, record: dict[str, Any]) -> None:
        """A device tells of a frame."""
        with self._lock:
            self._told += 1
            self._seen.add(record["device"])
            if self._opened is not None:
                self._inside += 1
            elif len(self._seen) == self._devices:
                self._opened = self._look()
            if self._told == self._frames:
                self._closed = self._look()

    def spent(self) -> Spent | None:
        """None where there was nothing between first frames and the last. Raises SensorError."""
        if self._opened is None or not self._inside:
            return None
        return self._opened.until(self._closed or self._look(), self._inside)
