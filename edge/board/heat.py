"""How hot a board is, and whether heat holds its processor back: what its kernel and firmware say.

The signs are the kernel's cooling devices and a Raspberry Pi's firmware, which slows the processor
down without the kernel. A ceiling of the clock below the processor's own is none: people lower it
on purpose, as Jetson's nvpmodel does.
"""

import math
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HOT_C = 80.0  # where a Raspberry Pi's firmware begins to slow down
MARGIN_C = 5.0  # a board is cool by so much below its limit
PATIENCE_S = 5.0  # with the firmware's command
FIRMWARE = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "temperature limit"}
PROCESSOR = ("cpu", "soc")  # zones with which HOT_C is compared; others have limits of their own
SLOWS_DOWN = re.compile(r"(thermal-)?cpufreq|processor|idle-|.*throttle-alert", re.IGNORECASE)


@dataclass(frozen=True)
class HeatPlaces:
    """Where heat is told: by this machine, by default.

    The file has what the kernel last asked the firmware, and reading it puts a warning into the
    kernel's log: it is for boards without the command.
    """

    thermal: Path = Path("/sys/class/thermal")
    vcgencmd: tuple[str, ...] = ("vcgencmd", "get_throttled")
    get_throttled: Path = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")


@dataclass(frozen=True)
class Heat:
    """A board's heat at one instant."""

    celsius: float | None = None  # of the zone that is nearest to its limit
    limit_c: float = math.inf  # of that zone, where it is known
    firmware: int | None = None  # a Raspberry Pi's bits: now, and 16 further up since its start
    cooling: tuple[str, ...] | None = None  # the kernel's devices that hold the processor back

    @property
    def held_back(self) -> tuple[str, ...]:
        """What holds the processor back now, in words."""
        return (*_words(self.firmware or 0), *(self.cooling or ()))

    @property
    def earlier(self) -> tuple[str, ...]:
        """What the firmware says of the time since the board's start."""
        return _words((self.firmware or 0) >> 16)

    @property
    def hot(self) -> bool:
        """Whether heat holds the processor back; a temperature says so where nothing else does.

        Under a weak power supply the firmware throttles too, and less work is no cure for that.
        """
        weak, capped, throttled, limited = ((self.firmware or 0) >> bit & 1 for bit in FIRMWARE)
        if self.cooling or limited or (not weak and (capped or throttled)):
            return True
        untold = self.firmware is None and self.cooling is None
        at_limit = self.celsius is not None and self.celsius >= self.limit_c
        return bool((untold or weak) and at_limit)

    @property
    def cool(self) -> bool:
        """Whether it is clearly not."""
        return not self.hot and (self.celsius is None or self.celsius < self.limit_c - MARGIN_C)

    def __str__(self) -> str:
        degrees = [] if self.celsius is None else [f"{self.celsius:.0f} C"]
        return ", ".join([*degrees, *self.held_back]) or "not throttled"


def read_heat(places: HeatPlaces) -> Heat | None:
    """What is told now; None where nothing is. Takes milliseconds: not for an event loop."""
    zones = [zone for path in places.thermal.glob("thermal_zone*") if (zone := _zone(path))]
    # By distance from the limit; of those without one, the hottest.
    celsius, limit_c = max(zones, key=lambda z: (z[0] - z[1], z[0]), default=(None, math.inf))
    heat = Heat(celsius, limit_c, _firmware(places), _cooling(places.thermal))
    return None if heat == Heat() else heat


def _zone(folder: Path) -> tuple[float, float] | None:
    """Its temperature and its limit; None of one that is switched off.

    The limit is its highest passive trip point: the kernel's cooling devices tell of lower ones.
    """
    celsius = _number(folder / "temp")
    if celsius is None:
        return None
    passive = [path for path in folder.glob("trip_point_*_type") if _text(path) == "passive"]
    trips = [_number(path.with_name(path.name.replace("_type", "_temp"))) for path in passive]
    usual = HOT_C if _text(folder / "type").lower().startswith(PROCESSOR) else math.inf
    return celsius / 1e3, max((trip / 1e3 for trip in trips if trip and trip > 0), default=usual)


def _cooling(thermal: Path) -> tuple[str, ...] | None:
    """Those of a processor's cooling devices that are at work; None where it has none."""
    devices = [(_text(path / "type"), path) for path in sorted(thermal.glob("cooling_device*"))]
    states = [(name, _number(path / "cur_state")) for name, path in devices]
    known = [(name, state) for name, state in states if SLOWS_DOWN.match(name)]
    working = dict.fromkeys(name for name, state in known if state and state > 0)
    return tuple(working) if known else None


def _firmware(places: HeatPlaces) -> int | None:
    """A Raspberry Pi's bits; None elsewhere."""
    for ask in (lambda: _said(places.vcgencmd), lambda: _text(places.get_throttled)):
        with suppress(ValueError):
            return int(ask().removeprefix("throttled="), 16)
    return None


def _said(command: tuple[str, ...]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        return done.stdout.strip()
    return ""


def _words(bits: int) -> tuple[str, ...]:
    return tuple(word for bit, word in FIRMWARE.items() if bits >> bit & 1)


def _number(path: Path) -> int | None:
    with suppress(ValueError):
        return int(_text(path))
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
