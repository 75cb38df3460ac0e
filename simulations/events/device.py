"""A device of a scenario, and a frame that it took: what is known of both at any moment."""

from dataclasses import dataclass, field

import simpy

from narrows.edge.policy.menu import Choice
from narrows.edge.policy.policy import Policy
from narrows.simulations.events.link import SimulatedLine
from narrows.simulations.events.replica import SimulatedFrame
from narrows.simulations.events.ways import Known
from narrows.simulations.scenarios.scenario import DeviceClass


@dataclass(eq=False)
class Taken:
    """A frame that a device took, and what became of it; moments in ns of simulated time."""

    device: int
    kind: str
    number: int
    due_ns: int
    choice: Choice
    device_ns: int = 0  # of computing
    sent_ns: int = 0
    received_ns: int = 0
    started_ns: int = 0
    served_ns: int = 0
    answered_ns: int = 0
    batch: int = 0
    replica: int = -1
    sendings: int = 0
    status: str = ""  # empty while it is under way
    answer: Choice | None = None  # whose answer it has: what was chosen, or the device's own
    latest: SimulatedFrame | None = None  # of its sendings

    @property
    def wire_bytes(self) -> int:
        """Of one sending, with framing; 0 where nothing was sent."""
        return round(self.choice.wire_bytes) if self.sendings else 0


@dataclass(eq=False)
class Device:
    """One device's state."""

    number: int
    kind: str
    spec: DeviceClass
    up: SimulatedLine
    down: SimulatedLine
    policy: Policy
    known: Known
    head_ns: int  # before every choice
    first_ns: int  # when its first frame is due: devices share no clock
    replica: int
    flying: dict[int, Taken] = field(default_factory=dict)
    room: simpy.Event | None = None
    joules: float = 0.0  # spent so far, by the class' own figures

    @property
    def full(self) -> bool:
        """Whether its window is."""
        return len(self.flying) >= self.spec.window

    @property
    def own(self) -> Choice | None:
        """Its small answer, where the bundle has one."""
        exit_ = self.known.choice("local", 0)
        return exit_ if exit_.accuracy else None

    @property
    def empty(self) -> bool:
        """Whether its battery is."""
        battery_wh = self.spec.battery_wh
        return battery_wh is not None and self.joules >= 3600 * battery_wh

    def spend(self, active_ns: int = 0, sent_bytes: int = 0) -> None:
        """Energy of computing and sending."""
        self.joules += (self.spec.active_watts or 0.0) * active_ns / 1e9
        self.joules += (self.spec.radio_joules_per_mb or 0.0) * sent_bytes / 1e6
