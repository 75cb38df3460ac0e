"""Which sensor: by name, or what is here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from narrows.edge.energy import boards, ina3221, nvml, pmic, rapl
from narrows.edge.energy.integral import Integral, sampled
from narrows.edge.energy.model import CpuTimeModel
from narrows.edge.energy.sensor import Sensor
from narrows.edge.energy.um25c import Um25c
from narrows.errors import ConfigError, SensorError

NAMES = "auto, rapl, ina3221, pmic, nvml, um25c:DEVICE, model or model:BOARD"
AUTO = ("ina3221", "pmic", "rapl")  # of the whole board before the processor alone
EVERY_S = {"ina3221": 0.1, "pmic": 0.25, "nvml": 0.5, "um25c": 0.5}


@dataclass(frozen=True)
class Places:
    """Where sensors are looked for: this machine's, by default."""

    powercap: Path = rapl.ROOT
    hwmon: Path = ina3221.ROOT
    vcgencmd: Sequence[str] = pmic.COMMAND
    nvidia_smi: Sequence[str] = nvml.COMMAND
    device_tree: Path = boards.DEVICE_TREE


@dataclass(frozen=True)
class Found:
    """A sensor, and why `auto` took none of those before it."""

    sensor: Sensor
    without: dict[str, str] = field(default_factory=dict)  # name -> what was missing


@contextmanager
def open_sensor(name: str, places: Places | None = None) -> Iterator[Found]:
    """The sensor of that name, counting while the context lasts.

    Raises:
        ConfigError: there is no sensor or board of that name.
        SensorError: it is not here, or may not be read; `auto` takes the model then.
    """
    places = places or Places()
    if name != "auto":
        with _named(name, places) as sensor:
            yield Found(sensor)
        return
    chosen, without = _first(places)
    with _named(chosen, places) as sensor:
        yield Found(sensor, without)


def _first(places: Places) -> tuple[str, dict[str, str]]:
    without: dict[str, str] = {}
    for name in AUTO:
        try:
            with _named(name, places):
                return name, without
        except SensorError as error:
            without[name] = str(error)
    return "model", without


@contextmanager
def _named(name: str, places: Places) -> Iterator[Sensor]:
    kind, _, rest = name.partition(":")
    if kind == "model":
        board = boards.load_board(rest) if rest else boards.this_board(places.device_tree)
        yield CpuTimeModel(board)
    elif kind == "rapl":
        yield rapl.Rapl(places.powercap)
    elif kind == "um25c" and rest:
        with Um25c(Path(rest)) as meter, sampled(Integral(meter), EVERY_S[kind]) as integral:
            yield integral
    elif kind in EVERY_S and not rest:
        with sampled(Integral(_meter(kind, places)), EVERY_S[kind]) as integral:
            yield integral
    else:
        raise ConfigError(f"--energy {name}: expected {NAMES}")


def _meter(kind: str, places: Places) -> ina3221.Ina3221 | pmic.Pmic | nvml.Nvml:
    if kind == "ina3221":
        return ina3221.Ina3221(places.hwmon)
    if kind == "pmic":
        return pmic.Pmic(places.vcgencmd)
    if kind == "nvml":
        return nvml.Nvml(places.nvidia_smi)
    raise ConfigError(f"--energy {kind}: expected {NAMES}")
