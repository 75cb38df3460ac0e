"""Timing contenders against each other on a machine that others use too.

All take turns in one process, so that a busy moment hits everyone, and medians leave it out. What
is worth quoting is the ratio of two medians of one race.
"""

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from narrows.kernels import coder

Call = Callable[[], Any]
ROUNDS = 15
TURN_S = 0.005  # a turn repeats a short call for about this long
SETTLE_S = 0.005  # thread pools spin for a while after their last work


def race(
    calls: Mapping[str, Call], rounds: int = ROUNDS, step: Call = lambda: None
) -> dict[str, float]:
    """Median milliseconds of every call, over at least `rounds` turns; `step` follows each round.

    A turn begins with one call that is not timed: caches hold the previous contender's data.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(SETTLE_S)
            call()
            times[name] += _turn(call)
        step()
    return {name: statistics.median(found) for name, found in times.items()}


def scaling(calls: Sequence[Call], seconds: float = 0.05, rounds: int = 5) -> float:
    """How many times the calls per second of one Python thread all together reach (median).

    One call per thread: contenders may hold state that two threads must not share.
    """
    for call in calls:
        call()
    count = max(1, int(seconds * 1e3 / statistics.median(_turn(calls[0]))))
    ratios = []
    for _ in range(rounds):
        alone, together = _calls_s(calls[:1], count), _calls_s(calls, count)
        ratios.append(len(calls) * alone / together)
    return statistics.median(ratios)


def machine() -> dict[str, Any]:
    """What a result was measured on.

    isa: the instruction set our kernels chose; load: processes that ran in the last minute, of
    which this is one, or None where the system does not tell.
    """
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"cpu": _cpu(), "cores": os.cpu_count(), "isa": coder.instruction_set(), "load": load}


def _turn(call: Call) -> list[float]:
    """Milliseconds of each of a turn's calls."""
    found: list[float] = []
    end = time.perf_counter() + TURN_S
    while not found or time.perf_counter() < end:
        started = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - started) / 1e6)
    return found


def _calls_s(calls: Sequence[Call], count: int) -> float:
    """Seconds until each call was made `count` times by a thread of its own."""
    start = threading.Barrier(len(calls) + 1)

    def work(call: Call) -> None:
        start.wait()
        for _ in range(count):
            call()

    pool = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in pool:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in pool:
        thread.join()
    return time.perf_counter() - started


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
