"""The interface: a sensor counts joules; a meter tells watts, which `Integral` makes joules of."""

from dataclasses import dataclass
from typing import Literal, Protocol

Part = Literal["board", "package", "gpu"]


@dataclass(frozen=True)
class About:
    """What is measured, for whoever reads the figures."""

    name: str  # as `--energy` has it
    covers: str  # in words: what is in its joules, and what is not
    part: Part
    is_model: bool = False


class Sensor(Protocol):
    """Anything that counts energy."""

    @property
    def about(self) -> About:
        """What it measures."""
        ...

    def joules(self) -> float:
        """Spent since it was opened; never falls. Raises SensorError where it cannot be read."""
        ...


class Meter(Protocol):
    """Anything that tells power."""

    @property
    def about(self) -> About:
        """What it measures."""
        ...

    def watts(self) -> float:
        """At this moment, 0 or more. Raises SensorError where it cannot be read."""
        ...
