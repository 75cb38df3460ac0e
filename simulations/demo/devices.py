"""Device processes of the demonstration: started, fed photographs, their records collected."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narrows.errors import LinkError
from narrows.simulations.cpu_share import cpu_share

LEAD_IN = 3  # frames a device sends before its latencies count


@dataclass
class Fleet:
    """What a run of several devices left behind."""

    records: list[dict[str, Any]] = field(default_factory=list)  # one per frame
    summaries: list[dict[str, Any]] = field(default_factory=list)  # one per device
    photographs: int = 0
    limited: str = ""  # how the devices' CPU was held down, in words

    @property
    def answered(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["status"] == "OK"]

    @property
    def errors(self) -> int:
        return len(self.records) - len(self.answered)

    @property
    def lost(self) -> int:
        """Photographs without any record: always 0, or the device is broken."""
        return self.photographs - len(self.records)


def run_devices(
    arguments: Sequence[str], paths: Sequence[Path], count: int = 2, share: float | None = None
) -> Fleet:
    """Send `paths` from `count` device processes, each its own part, at the same time.

    `share` holds every device to that share of a core. Raises LinkError when a device fails.
    """
    fleet = Fleet(photographs=len(paths))
    with ExitStack() as stack:
        devices = [stack.enter_context(_device(arguments)) for _ in range(count)]
        if share is not None:
            limits = [stack.enter_context(cpu_share(d.pid, share)) for d in devices]
            fleet.limited = limits[0]
        for index, device in enumerate(devices):
            _feed(device, paths[index::count])
        for device in devices:
            _collect(device, fleet)
    return fleet


@contextmanager
def _device(arguments: Sequence[str]) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "narrows", "edge", "-", *arguments, "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _feed(device: subprocess.Popen, paths: Sequence[Path]) -> None:
    """A few hundred paths fit the pipe's buffer; the device reads them as it goes."""
    assert device.stdin is not None
    device.stdin.write("".join(f"{path}\n" for path in paths))
    device.stdin.close()
    device.stdin = None


def _collect(device: subprocess.Popen, fleet: Fleet) -> None:
    output, errors = device.communicate()
    if device.returncode:
        raise LinkError(f"a device ended with code {device.returncode}: {errors.strip()[-500:]}")
    for line in output.splitlines():
        record = json.loads(line)
        if "summary" in record:
            fleet.summaries.append(record["summary"])
        else:
            fleet.records.append(record)
