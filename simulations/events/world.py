"""Devices, links and replicas of a scenario in simulated time, with faults; every frame is kept.

A device follows edge/device.py: a frame is due at its rate, waits for room in the window, is
computed, sent, and given up at its deadline; a late frame does not make its followers hurry. When a
replica dies or stands still the device opens its stream at another and sends again what was in
flight. Not in it: TCP, handshakes, balancing of streams between live replicas.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import simpy

from narrows.simulations.events.choices import Choice, Moment
from narrows.simulations.events.clock import Clock, Process
from narrows.simulations.events.link import SimulatedLine, link_named
from narrows.simulations.events.replica import ReplicaLimits, SimulatedFrame, SimulatedReplica
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.scenarios.scenario import DeviceClass, Fault, Scenario

FRAMING_BYTES = 40  # around a packet on an open stream: protobuf, gRPC, HTTP/2
ANSWER_BYTES = 260  # a result with five labels and its timing
TAKEOVER_NS = 30_000_000  # from a replica's death to the stream at its sibling
NOTICE_NS = 2_700_000_000  # from a frozen replica's last answer to the same
RETRY_NS = 500_000_000  # where no replica is there


@dataclass(frozen=True)
class Bundle:
    """What a simulation needs to know of a bundle."""

    packet_bytes: dict[int, float]  # by operating point
    accuracy: dict[int, float]


@dataclass(eq=False)
class Taken:
    """A frame that a device took, and what became of it; moments in ns of simulated time."""

    device: int
    kind: str
    number: int
    due_ns: int
    point: int = 0
    packet_bytes: int = 0
    head_ns: int = 0
    sent_ns: int = 0
    received_ns: int = 0
    started_ns: int = 0
    served_ns: int = 0
    answered_ns: int = 0
    batch: int = 0
    replica: int = -1
    sendings: int = 0
    status: str = ""  # empty while it is under way
    latest: SimulatedFrame | None = None  # of its sendings


@dataclass(eq=False)
class Device:
    """One device's state."""

    number: int
    kind: str
    spec: DeviceClass
    up: SimulatedLine
    down: SimulatedLine
    head_ns: int
    replica: int
    flying: dict[int, Taken] = field(default_factory=dict)
    room: simpy.Event | None = None
    last_latency_ms: float | None = None
    joules: float = 0.0  # spent so far, by the class' own figures

    @property
    def empty(self) -> bool:
        """Whether its battery is."""
        battery_wh = self.spec.battery_wh
        return battery_wh is not None and self.joules >= 3600 * battery_wh

    def spend(self, active_ns: int = 0, sent_bytes: int = 0) -> None:
        """Energy of computing and sending."""
        self.joules += (self.spec.active_watts or 0.0) * active_ns / 1e9
        self.joules += (self.spec.radio_joules_per_mb or 0.0) * sent_bytes / 1e6


class World:
    """A scenario under way. `frames` grows as they are taken."""

    def __init__(
        self,
        scenario: Scenario,
        times: ServiceTimes,
        bundle: Bundle,
        choice: Choice,
        seed: int,
        settled: Callable[[Taken], None] = lambda _: None,
    ):
        """`settled` is called with each frame that has its status. Same seed, same frames."""
        self._note = settled
        self.clock = Clock()
        self._scenario, self._bundle, self._choice = scenario, bundle, choice
        self._end_ns, self._rng = round(scenario.seconds * 1e9), Random(seed)
        self._deadline_ns = scenario.deadline_ms * 1_000_000
        self.frames: list[Taken] = []
        limits = ReplicaLimits(scenario.server.max_batch, scenario.server.max_waiting)
        self.replicas = [
            SimulatedReplica(self.clock, times, limits, Random(f"{seed}/{index}"), self._answered)
            for index in range(scenario.server.replicas)
        ]
        self._unreachable_until_ns = [0] * len(self.replicas)
        self.devices = list(self._made(times))
        for device in self.devices:
            self.clock.begin(self._take_frames(device))
        for fault in scenario.faults:
            self.clock.begin(self._fail(fault))

    def run(self, until_s: float) -> None:
        """Go on to a moment, or to the end where that comes first."""
        self.clock.run(max(self.clock.now_ns + 1, min(round(until_s * 1e9), self.end_ns)))

    @property
    def end_ns(self) -> int:
        """When the last frame's deadline has passed."""
        return self._end_ns + self._deadline_ns + 1_000_000_000

    def _made(self, times: ServiceTimes) -> Iterator[Device]:
        number = 0
        for kind, spec in self._scenario.classes.items():
            link, head_ns = link_named(spec.link), round(times.head_ms * 1e6 / spec.cpu_share)
            for _ in range(spec.devices):
                up, down = SimulatedLine(self.clock, link), SimulatedLine(self.clock, link)
                yield Device(number, kind, spec, up, down, head_ns, number % len(self.replicas))
                number += 1

    def _take_frames(self, device: Device) -> Process:
        clock, period_ns = self.clock, round(1e9 / device.spec.fps)
        next_ns, number = round(self._rng.random() * period_ns), 0
        while next_ns < self._end_ns and not device.empty:
            if next_ns > clock.now_ns:
                yield clock.wait(next_ns - clock.now_ns)
            due_ns, next_ns = clock.now_ns, clock.now_ns + period_ns
            while len(device.flying) >= device.spec.window:
                device.room = clock.event()
                yield device.room
            yield clock.wait(device.head_ns)
            device.spend(active_ns=device.head_ns)
            self._send_first(device, self._taken(device, number, due_ns))
            number += 1

    def _taken(self, device: Device, number: int, due_ns: int) -> Taken:
        known = self._bundle
        point = self._choice(
            Moment(
                self.clock.now_ns / 1e9, len(device.flying), known.packet_bytes, known.accuracy,
                device.last_latency_ms, float(self._scenario.deadline_ms),
            )
        )  # fmt: skip
        size = round(known.packet_bytes[point])
        taken = Taken(device.number, device.kind, number, due_ns, point, size, device.head_ns)
        self.frames.append(taken)
        return taken

    def _send_first(self, device: Device, taken: Taken) -> None:
        taken.sent_ns = self.clock.now_ns
        device.flying[taken.number] = taken
        left_ns = max(0, taken.due_ns + self._deadline_ns - self.clock.now_ns)
        self.clock.after(left_ns, lambda: self._settle(device, taken, "EXPIRED"))
        self._send(device, taken)

    def _send(self, device: Device, taken: Taken) -> None:
        taken.sendings += 1
        left_ns = taken.due_ns + self._deadline_ns - self.clock.now_ns
        frame = SimulatedFrame(
            str(device.number), taken.due_ns, taken.point, patience_ns=max(1, left_ns), of=taken
        )
        if taken.latest is not None:
            taken.latest.settled = True  # its stream is gone
        index = device.replica
        replica = self.replicas[index]
        taken.latest, taken.replica = frame, index

        def arrived() -> None:
            if self.clock.now_ns >= self._unreachable_until_ns[index] or replica.frozen:
                replica.send(frame)  # a dead one's port refuses: the device sends again elsewhere

        device.spend(sent_bytes=taken.packet_bytes + FRAMING_BYTES)
        device.up.send(taken.packet_bytes + FRAMING_BYTES, arrived)

    def _send_again(self, device: Device, taken: Taken) -> None:
        if not taken.status:
            self._send(device, taken)

    def _answered(self, frame: SimulatedFrame, status: str) -> None:
        taken: Taken = frame.of
        device = self.devices[taken.device]
        if status == "OVERLOADED":  # the device sends it again when it is told to
            wait_ns = max(1_000_000, round(self.replicas[taken.replica].wait_ns))
            self.clock.after(wait_ns, lambda: self._send_again(device, taken))
            return
        if not taken.status:
            taken.received_ns, taken.started_ns = frame.received_ns, frame.started_ns
            taken.served_ns, taken.batch = frame.served_ns, frame.batch
        device.down.send(ANSWER_BYTES, lambda: self._settle(device, taken, status))

    def _settle(self, device: Device, taken: Taken, status: str) -> None:
        if taken.status:
            return  # a second answer, or the deadline of an answered frame
        taken.status, taken.answered_ns = status, self.clock.now_ns
        device.flying.pop(taken.number, None)
        device.last_latency_ms = (self.clock.now_ns - taken.due_ns) / 1e6
        self._note(taken)
        if device.room is not None and not device.room.triggered:
            device.room.succeed()

    def _fail(self, fault: Fault) -> Process:
        yield self.clock.wait(round(fault.at_s * 1e9))
        for_ns = round(fault.for_s * 1e9)
        if fault.kind == "link":
            for device in self.devices:
                if fault.devices in (None, device.kind):
                    device.up.cut(for_ns)
                    device.down.cut(for_ns)
            return
        replica, notice_ns = self.replicas[fault.replica], TAKEOVER_NS
        self._unreachable_until_ns[fault.replica] = self.clock.now_ns + for_ns
        if fault.kind == "killed":
            replica.kill()
        else:
            replica.freeze(for_ns)
            notice_ns = NOTICE_NS
        yield self.clock.wait(notice_ns)
        if self.clock.now_ns < self._unreachable_until_ns[fault.replica]:
            self._leave(fault.replica)
        elif fault.kind == "killed":
            self._leave(fault.replica)  # it is there again, and knows nothing of what was sent

    def _leave(self, index: int) -> None:
        """Every device of a lost replica opens its stream elsewhere and sends again."""
        for device in self.devices:
            if device.replica == index:
                self._reconnect(device)

    def _reconnect(self, device: Device) -> None:
        live = [i for i, at in enumerate(self._unreachable_until_ns) if at <= self.clock.now_ns]
        if not live:
            self.clock.after(RETRY_NS, lambda: self._reconnect(device))
            return
        two = self._rng.sample(live, min(2, len(live)))
        device.replica = min(two, key=lambda index: self.replicas[index].wait_ns)
        for taken in tuple(device.flying.values()):
            self._send(device, taken)
