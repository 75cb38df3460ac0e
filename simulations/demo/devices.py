"""Device processes of the demonstration: started, fed photographs, their records collected."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from narrows.errors import LinkError
from narrows.simulations.cpu_share import cpu_share

LEAD_IN = 3  # frames a device sends before its latencies count
OnRecord = Callable[[dict[str, Any]], None]


@dataclass
class Fleet:
    """What a run of several devices left behind."""

    records: list[dict[str, Any]] = field(default_factory=list)  # one per frame, with its `device`
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


@dataclass(frozen=True)
class Device:
    """A device's process, and where its complaints go."""

    process: subprocess.Popen
    errors: IO[str]


def run_devices(
    arguments: Sequence[str],
    paths: Sequence[Path],
    count: int = 2,
    share: float | None = None,
    on_record: OnRecord = lambda record: None,
) -> Fleet:
    """Send `paths` from `count` device processes, each its own part, at the same time.

    `share` holds every device to that share of a core. `on_record` is told of every frame as it
    comes, from a thread for each device. Raises LinkError when a device fails.
    """
    fleet = Fleet(photographs=len(paths))
    with ExitStack() as stack:
        devices = [stack.enter_context(_device(arguments)) for _ in range(count)]
        if share is not None:
            limits = [stack.enter_context(cpu_share(d.process.pid, share)) for d in devices]
            fleet.limited = limits[0]
        with ThreadPoolExecutor(2 * count) as pool:
            for index, device in enumerate(devices):
                pool.submit(_feed, device.process, paths[index::count])
            numbers = range(count)
            for found in pool.map(lambda i: _collect(i, devices[i], on_record), numbers):
                fleet.records += found.records
                fleet.summaries += found.summaries
    return fleet


@contextmanager
def _device(arguments: Sequence[str]) -> Iterator[Device]:
    command = [sys.executable, "-m", "narrows", "edge", "-", *arguments, "--json"]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            yield Device(process, errors)
        finally:
            process.kill()


def _feed(process: subprocess.Popen, paths: Sequence[Path]) -> None:
    """The device reads them as it goes; why it may end before is told by its exit."""
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write("".join(f"{path}\n" for path in paths))


def _collect(number: int, device: Device, on_record: OnRecord) -> Fleet:
    """What one device tells, to its end."""
    found = Fleet()
    assert device.process.stdout is not None
    for line in device.process.stdout:
        record = json.loads(line)
        if "summary" in record:
            found.summaries.append(record["summary"])
        else:
            found.records.append(record | {"device": number})
            on_record(found.records[-1])
    if device.process.wait():
        device.errors.seek(0)
        said = device.errors.read().strip()[-500:]
        raise LinkError(f"a device ended with code {device.process.returncode}: {said}")
    return found
