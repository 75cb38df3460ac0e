"""Processor time: of one process, with the kernel's nanoseconds, and of the whole machine."""

import os
import time

import psutil

BUSY = ("user", "nice", "system", "irq", "softirq")
_SCHED = 2  # CPUCLOCK_SCHED of Linux's posix-timers.h


def process_s(pid: int) -> float:
    """Seconds of processor that a process and all its threads have had. 0.0: it has ended.

    Linux has a clock for every process (clock_getcpuclockid(3)); others tell in ticks of 10 ms.
    """
    try:
        if os.uname().sysname == "Linux":
            return time.clock_gettime(~pid << 3 | _SCHED)
        times = psutil.Process(pid).cpu_times()
    except (OSError, psutil.Error):
        return 0.0
    return float(times.user + times.system)


def machine_s() -> float:
    """Seconds of processor that all work on this machine has had, of all cores together."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, kind, 0.0) for kind in BUSY))
