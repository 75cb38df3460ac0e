"""The Raspberry Pi 5's power management chip, through `vcgencmd pmic_read_adc`.

It prints a line for the current and one for the voltage of each rail:

    VDD_CORE_A current(7)=1.11625000A
    VDD_CORE_V volt(15)=0.74944980V

Rails are paired by name. EXT5V, the input, and BATT have a voltage and no current, so the total is
the sum over the rails behind the chip: its own losses and what USB and the fan draw are not in it.
"""

import math
import re
from collections.abc import Sequence

from narrows.edge.energy.sensor import About
from narrows.edge.energy.told import told_by
from narrows.errors import SensorError

COMMAND = ("vcgencmd", "pmic_read_adc")
_LINE = re.compile(r"^\s*(\w+)_([AV])\s+(?:current|volt)\(\d+\)=([-+0-9.eE]+|nan)\2\s*$", re.M)


class Pmic:
    """The rails behind the chip."""

    about = About(
        "pmic", "sum of the rails behind the power chip, without its losses, USB and fan", "board"
    )

    def __init__(self, command: Sequence[str] = COMMAND):
        """Raises SensorError: this is no Raspberry Pi 5."""
        self._command = tuple(command)
        self.watts()

    def watts(self) -> float:
        """Of all rails. Raises SensorError."""
        return sum(rails(told_by(self._command)).values())


def rails(text: str) -> dict[str, float]:
    """What the command printed -> watts of each rail that has a current and a voltage.

    Raises:
        SensorError: there is none.
    """
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for name, unit, number in _LINE.findall(text):
        value = float(number)
        if math.isfinite(value):
            (amperes if unit == "A" else volts)[name] = value
    if not amperes.keys() & volts.keys():
        raise SensorError(
            f"expected lines such as `VDD_CORE_A current(7)=1.1A` of a Raspberry Pi 5, got "
            f"{text.strip()[:80]!r}"
        )
    return {name: max(0.0, amperes[name] * volts[name]) for name in amperes if name in volts}
