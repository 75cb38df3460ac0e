"""What a frame costs in joules, and a budget of them that holds on average.

Sending costs power for as long as the radio is on and energy for every byte. The defaults are LTE's
as measured by Huang et al., MobiSys 2012 (1.288 W while it transmits and 438 mW per Mbit/s); a
processor's power is a small board's. Neither is this device's: give its own.
"""

from dataclasses import dataclass

from narrows.edge.policy.menu import Choice
from narrows.errors import ConfigError

STEP = 0.02  # by which the price follows an overspent frame


@dataclass(frozen=True)
class EnergyModel:
    """Power while computing, power while the radio sends, energy of a byte."""

    compute_w: float = 2.5
    radio_w: float = 1.288
    byte_j: float = 0.438e-6 * 8

    def joules(self, choice: Choice, device_s: float, air_s: float) -> float:
        """Of one frame that kept the processor and the line busy for so long."""
        computing = self.compute_w * (device_s + choice.extra_s)
        return computing + self.radio_w * air_s + self.byte_j * choice.wire_bytes


class EnergyBudget:
    """Joules a frame on average: a price, in accuracy, that rises while more is spent.

    Dual ascent on the one constraint, which is also drift plus penalty with one virtual queue
    (Neely, Stochastic Network Optimization, 2010).
    """

    def __init__(self, joules: float, model: EnergyModel | None = None):
        """Raises ConfigError for a budget of nothing."""
        if joules <= 0:
            raise ConfigError(f"{joules:g} joules a frame: expected more than 0")
        self.joules, self.model = joules, model or EnergyModel()
        self.spent_j, self.frames = 0.0, 0
        self._price = 0.0

    def price(self, joules: float) -> float:
        """What spending so much on this frame costs, in accuracy."""
        return self._price * joules / self.joules

    def charge(self, joules: float) -> None:
        """It was spent."""
        self.spent_j += joules
        self.frames += 1
        self._price = max(0.0, self._price + STEP * (joules / self.joules - 1))
