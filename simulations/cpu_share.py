"""A process held to a share of one core, to stand in for a smaller device.

By the kernel's CFS bandwidth control (cgroup v2 or v1) with a short period, so that work of a few
milliseconds is already spread as it would be on a slower core.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PERIOD_US = 5_000
CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def cpu_share(pid: int, share: float) -> Iterator[str]:
    """Limit `pid` to `share` of a core while the context lasts; yields how, in words."""
    group = _create(f"narrows-{os.getpid()}-{pid}", share)
    if group is None:
        yield "not limited: no writable cpu cgroup"
        return
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield f"{share:g} of a core by cgroup CPU bandwidth, period {PERIOD_US / 1000:g} ms"
    finally:
        with suppress(OSError):  # the process may have ended, which empties the group
            _root(group).write_text(str(pid))
        with suppress(OSError):
            group.rmdir()


def _root(group: Path) -> Path:
    return group.parent / "cgroup.procs"


def _create(name: str, share: float) -> Path | None:
    quota = max(1_000, int(share * PERIOD_US))
    v2 = (CGROUP / "cgroup.controllers").exists()
    group = (CGROUP if v2 else CGROUP / "cpu") / name
    try:
        group.mkdir()
        if v2:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        return None
    return group
