"""The CPU-time model fitted to a sensor: least squares over idle and busy intervals."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from narrows.edge.energy.boards import Board
from narrows.edge.energy.cpu_time import machine_s
from narrows.edge.energy.sensor import Sensor
from narrows.errors import SensorError

SPIN = "while True: pass"
SETTLE_S = 0.5  # clocks rise and fall with load


@dataclass(frozen=True)
class Interval:
    """A while under a steady load."""

    seconds: float
    busy_s: float  # of processor, of all cores
    joules: float


@dataclass(frozen=True)
class Fitted:
    """A board, and how well it tells the intervals it was fitted to."""

    board: Board
    error: float  # root mean square of what is left, over the mean energy


def fit(intervals: Sequence[Interval], sensor: str) -> Fitted:
    """idle_w and core_w that come nearest to a sensor's joules.

    Raises:
        SensorError: the intervals do not tell the two apart, or a busy core spends nothing.
    """
    terms = np.array([(i.seconds, i.busy_s) for i in intervals], np.float64).reshape(-1, 2)
    joules = np.array([i.joules for i in intervals], np.float64)
    watts, _, rank, _ = np.linalg.lstsq(terms, joules, rcond=1e-6)
    if rank < 2 or (watts < 0).any() or watts[1] == 0:
        raise SensorError(
            f"{len(intervals)} intervals do not tell idle from busy: expected a sensor whose power "
            "rises with load, on a machine without other work"
        )
    left = joules - terms @ watts
    error = float(np.sqrt(np.mean(left**2)) / joules.mean())
    source = f"Fitted to {sensor} over {len(intervals)} intervals, error {error:.1%}."
    board = Board("fitted", "this machine", float(watts[0]), float(watts[1]), source)
    return Fitted(board, error)


def intervals(sensor: Sensor, seconds: float, loads: Sequence[int]) -> Iterator[Interval]:
    """An interval with each of so many processes that only spin. Raises SensorError."""
    for load in loads:
        with ExitStack() as stack:
            for _ in range(load):
                spinning = stack.enter_context(subprocess.Popen([sys.executable, "-c", SPIN]))
                stack.callback(spinning.kill)
            time.sleep(SETTLE_S)
            began = time.monotonic(), machine_s(), sensor.joules()
            time.sleep(seconds)
            ended = time.monotonic(), machine_s(), sensor.joules()
            yield Interval(*(after - before for before, after in zip(began, ended, strict=True)))
