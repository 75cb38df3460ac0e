"""Service times of this machine: measured once for a bundle and a way to serve it, and kept."""

import os
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.planning.calibrate import ROUNDS, calibrate
from narrows.simulations.planning.targets import Served

CALIBRATION_S = 24.0


def service_times(
    file: Path | None, bundle: Path, threads: int, max_batch: int, console: Console
) -> ServiceTimes:
    """From `file`, or what this machine measured earlier, or measured now with a progress bar.

    Raises:
        BundleError: the bundle does not hold together.
        ConfigError: the file is none of service times, or was measured with smaller batches.
        LinkError: the server that was to be measured did not start.
    """
    served = Served(bundle, max_batch, threads)
    times = ServiceTimes.load(file) if file is not None else _kept(served, console)
    if times.max_batch < max_batch:
        raise ConfigError(
            f"service times of batches up to {times.max_batch}; --max-batch is {max_batch}: "
            "measure with it, by --calibrate"
        )
    return times


def measure_and_keep(served: Served, console: Console) -> ServiceTimes:
    """Measure now, whatever was kept. Raises as `service_times`."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("measuring service times", total=ROUNDS)
        times = calibrate(served, CALIBRATION_S, lambda: bar.advance(task))
    times.save(kept_file(served))
    return times


def kept_file(served: Served) -> Path:
    """`$XDG_CACHE_HOME/narrows/service/...json`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = Manifest.load(served.bundle).digest[:16]
    return cache / "narrows" / "service" / f"{digest}-{served.threads}-{served.max_batch}.json"


def _kept(served: Served, console: Console) -> ServiceTimes:
    path = kept_file(served)
    if path.is_file():
        with suppress(ConfigError):  # written by another version, of other keys: measured anew
            return ServiceTimes.load(path)
    return measure_and_keep(served, console)
