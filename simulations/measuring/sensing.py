"""The sensors of a measurement: one that has the device in it, GPUs' for the server, and rest."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from narrows.edge.energy.discover import open_sensor
from narrows.edge.energy.sensor import Sensor
from narrows.errors import ConfigError
from narrows.simulations.measuring.window import Instant, Spent

REST_S = 3.0


@dataclass(frozen=True)
class Opened:
    """Sensors, the device's first, and why `auto` took none of those before it."""

    sensors: tuple[Sensor, ...]
    without: dict[str, str]


@contextmanager
def open_sensors(text: str) -> Iterator[Opened]:
    """Open those of `--energy`, such as `auto,nvml`; where only GPUs are named, auto is added.

    Raises:
        ConfigError: an unknown name, or two that have the device in them.
        SensorError: one that is named is not here.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not set(names) - {"nvml"}:
        names.append("auto")
    with ExitStack() as stack:
        found = [stack.enter_context(open_sensor(name)) for name in dict.fromkeys(names)]
        devices = [each for each in found if each.sensor.about.part != "gpu"]
        gpus = [each.sensor for each in found if each.sensor.about.part == "gpu"]
        if len(devices) != 1:
            told = ", ".join(each.sensor.about.name for each in devices)
            raise ConfigError(f"--energy {text}: {told} all have the device in them: name one")
        yield Opened((devices[0].sensor, *gpus), devices[0].without)


def at_rest(look: Callable[[], Instant], sensors: Sequence[Sensor]) -> Spent:
    """What is spent while no device runs; a model knows that without waiting for it."""
    before = look()
    time.sleep(0.0 if all(sensor.about.is_model for sensor in sensors) else REST_S)
    return before.until(look(), 1)
