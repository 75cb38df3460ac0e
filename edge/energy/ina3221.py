"""The INA3221 power monitors of Jetson boards, by Linux's hwmon.

Each chip has three channels: `inN_label`, `inN_input` in mV, `currN_input` in mA, `inN_enable`.
JetPack 6's kernel adds sums over channels (in7, curr4), which are left out. Where a rail carries
all that goes into the module it is the total; else the rails are added.
"""

from dataclasses import dataclass
from pathlib import Path

from narrows.edge.energy.rapl import read_number
from narrows.edge.energy.sensor import About
from narrows.errors import SensorError

ROOT = Path("/sys/class/hwmon")
WHOLE = ("VDD_IN", "POM_5V_IN")  # of Orin NX, Orin Nano and Xavier NX; of the first Nano
UNUSED = "NC"


@dataclass(frozen=True)
class Channel:
    """One rail."""

    label: str
    millivolts: Path
    milliamperes: Path

    def watts(self) -> float:
        """Raises SensorError."""
        return max(0, read_number(self.millivolts) * read_number(self.milliamperes)) / 1e6


class Ina3221:
    """A board's rails."""

    def __init__(self, root: Path = ROOT):
        """Raises SensorError: there is no such chip, or no rail that it measures."""
        chips = [
            hwmon for hwmon in sorted(root.glob("hwmon*")) if _text(hwmon / "name") == "ina3221"
        ]
        channels = [channel for chip in chips for channel in _channels(chip)]
        if not channels:
            raise SensorError(f"{root}: no INA3221 with labelled channels here")
        whole = [channel for channel in channels if channel.label in WHOLE]
        self._channels = whole[:1] or channels
        names = ", ".join(channel.label for channel in self._channels)
        covers = f"the module's input ({names})" if whole else f"sum of the rails {names}"
        self.about = About("ina3221", f"{covers}, without the carrier board", "board")

    def watts(self) -> float:
        """Of the input, or of all rails. Raises SensorError."""
        return sum(channel.watts() for channel in self._channels)


def _channels(chip: Path) -> list[Channel]:
    found = []
    for number in (1, 2, 3):
        label = _text(chip / f"in{number}_label")
        enabled = _text(chip / f"in{number}_enable") != "0"
        if label and label != UNUSED and enabled:
            paths = chip / f"in{number}_input", chip / f"curr{number}_input"
            found.append(Channel(label, *paths))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
