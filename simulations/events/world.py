"""Devices, links and replicas of a scenario in simulated time, with faults; every frame is kept.

A device follows edge/device.py, and edge/steered.py where its way's policy falls back: a frame is
due at its rate, waits for room in the window, is computed, sent, and given up at its deadline; a
late frame does not make its followers hurry. When a replica dies or stands still the device opens
its stream at another and sends again what was in flight. Not in it: TCP, handshakes, balancing of
streams between live replicas.
"""

from collections.abc import Callable, Iterator
from random import Random

from narrows.edge.policy.menu import Choice
from narrows.edge.policy.policy import Moment
from narrows.simulations.events.clock import Clock, Process
from narrows.simulations.events.device import Device, Taken
from narrows.simulations.events.link import SimulatedLine
from narrows.simulations.events.replica import ReplicaLimits, SimulatedFrame, SimulatedReplica
from narrows.simulations.events.service import PICTURE, ServiceTimes
from narrows.simulations.events.ways import Known, Terms, Way
from narrows.simulations.links.link import Link, open_links
from narrows.simulations.links.race import Terms as RaceTerms
from narrows.simulations.links.race import ping
from narrows.simulations.scenarios.scenario import DeviceClass, Fault, Scenario

FRAMING_BYTES = 40  # around a packet on an open stream: protobuf, gRPC, HTTP/2
ANSWER_BYTES = 190  # a result with five labels and its timing, and that around it
TAKEOVER_NS = 30_000_000  # from a replica's death to the stream at its sibling
NOTICE_NS = 2_700_000_000  # from a frozen replica's last answer to the same
RETRY_NS = 500_000_000  # where no replica is there
LATE = 0.95  # quantile of the server's time that an oracle plans with


class World:
    """A scenario under way. `frames` grows as they are taken."""

    def __init__(
        self,
        scenario: Scenario,
        times: ServiceTimes,
        known: Known,
        way: Way,
        seed: int,
        settled: Callable[[Taken], None] = lambda _: None,
    ):
        """`settled` is called with each frame that has its status. Same seed, same frames."""
        self._note = settled
        self.clock = Clock()
        self._scenario, self._known, self._way, self._seed = scenario, known, way, seed
        self._end_ns, self._rng = round(scenario.seconds * 1e9), Random(seed)
        self._deadline_ns = scenario.deadline_ms * 1_000_000
        self.frames: list[Taken] = []
        limits = ReplicaLimits(scenario.server.max_batch, scenario.server.max_waiting)
        own = [Random(f"{seed}/{index}") for index in range(scenario.server.replicas)]
        self.replicas = [
            SimulatedReplica(self.clock, times.replay(rng), limits, rng, self._answered)
            for rng in own
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
        number, scenario = 0, self._scenario
        for kind, spec in scenario.classes.items():
            known = self._known.on(times, spec.cpu_share)
            head_ns = round(times.head_ms * 1e6 / spec.cpu_share) if self._way.looks else 0
            for link, up, down in self._lines(kind, spec):
                begins_s = self._rng.random() / spec.fps
                race = RaceTerms(
                    round(scenario.seconds * spec.fps) + 1, spec.fps, scenario.deadline_ms / 1e3,
                    head_ns / 1e9, times.server_ms(LATE) / 1e3, ANSWER_BYTES, begins_s,
                )  # fmt: skip
                policy = self._way.policy(Terms(known, link, race))
                ping(policy, link)
                first_ns, replica = round(begins_s * 1e9), number % len(self.replicas)
                yield Device(
                    number, kind, spec, up, down, policy, known, head_ns, first_ns, replica
                )
                number += 1

    def _lines(
        self, kind: str, spec: DeviceClass
    ) -> Iterator[tuple[Link, SimulatedLine, SimulatedLine]]:
        """For every device of a class: its own line each way, or, where it is shared, the one."""
        count = 1 if spec.shared else spec.devices
        links = open_links(spec.link, count, f"{self._seed}/{kind}", self.end_ns / 1e9)
        lines = [
            (link, SimulatedLine(self.clock, link.up), SimulatedLine(self.clock, link.down))
            for link in (links[index % len(links)] for index in range(count))
        ]
        return (lines[index % count] for index in range(spec.devices))

    def _take_frames(self, device: Device) -> Process:
        clock, period_ns = self.clock, round(1e9 / device.spec.fps)
        next_ns, number = device.first_ns, 0
        while next_ns < self._end_ns and not device.empty:
            if next_ns > clock.now_ns:
                yield clock.wait(next_ns - clock.now_ns)
            due_ns, next_ns = clock.now_ns, clock.now_ns + period_ns
            while device.full and not device.policy.falls_back:
                device.room = clock.event()
                yield device.room
            yield clock.wait(device.head_ns)
            taken = self._chosen(device, number, due_ns)
            yield clock.wait(taken.device_ns - device.head_ns)
            device.spend(active_ns=taken.device_ns)
            if taken.choice.kind == "local" or device.full:
                self._answer_itself(device, taken)
            else:
                self._send_first(device, taken)
            number += 1

    def _chosen(self, device: Device, number: int, due_ns: int) -> Taken:
        now_ns, head_s = self.clock.now_ns, device.head_ns / 1e9
        decision = device.policy.choose(Moment(now_ns / 1e9, (now_ns - due_ns) / 1e9, head_s))
        choice = decision.choice
        device_ns = device.head_ns + round(choice.extra_s * 1e9)
        taken = Taken(device.number, device.kind, number, due_ns, choice, device_ns)
        self.frames.append(taken)
        return taken

    def _answer_itself(self, device: Device, taken: Taken, otherwise: str = "LINK") -> None:
        """By the whole network where that was chosen, else by the small answer, if there is one."""
        answer = device.known.whole if taken.choice == device.known.whole else device.own
        self._settle(device, taken, "OK" if answer else otherwise, answer)

    def _send_first(self, device: Device, taken: Taken) -> None:
        taken.sent_ns = self.clock.now_ns
        device.flying[taken.number] = taken
        self.clock.after(self._left_ns(taken), lambda: self._expired(device, taken))
        self._send(device, taken)

    def _left_ns(self, taken: Taken) -> int:
        return max(0, taken.due_ns + self._deadline_ns - self.clock.now_ns)

    def _expired(self, device: Device, taken: Taken) -> None:
        if device.policy.falls_back:
            self._answer_itself(device, taken, "EXPIRED")
        else:
            self._settle(device, taken, "EXPIRED")

    def _send(self, device: Device, taken: Taken) -> None:
        left_ns, size = self._left_ns(taken), round(taken.choice.wire_bytes)
        if device.up.free_ns >= self.clock.now_ns + left_ns:
            return  # it expires before its turn
        taken.sendings += 1
        group = PICTURE if taken.choice.kind == "image" else taken.choice.level
        frame = SimulatedFrame(
            str(device.number), taken.due_ns, group, patience_ns=max(1, left_ns), of=taken
        )
        if taken.latest is not None:
            taken.latest.settled = True  # its stream is gone
        index = device.replica
        replica = self.replicas[index]
        taken.latest, taken.replica = frame, index

        def arrived() -> None:
            if self.clock.now_ns >= self._unreachable_until_ns[index] or replica.frozen:
                replica.send(frame)  # a dead one's port refuses: the device sends again elsewhere

        device.spend(sent_bytes=size)
        device.policy.on_sent(taken.number, size, self.clock.now_ns / 1e9)
        device.up.send(size, arrived)

    def _send_again(self, device: Device, taken: Taken) -> None:
        if not taken.status:
            self._send(device, taken)

    def _answered(self, frame: SimulatedFrame, status: str) -> None:
        taken: Taken = frame.of
        device = self.devices[taken.device]
        now_ns = self.clock.now_ns
        if status == "OVERLOADED":  # the device sends it again when it is told to
            wait_ns = max(1_000_000, round(self.replicas[taken.replica].wait_ns))
            device.policy.on_refusal(None, wait_ns / 1e9, now_ns / 1e9)
            self.clock.after(wait_ns, lambda: self._send_again(device, taken))
            return
        if not taken.status:
            taken.received_ns, taken.started_ns = frame.received_ns, frame.started_ns
            taken.served_ns, taken.batch = frame.served_ns, frame.batch
        server_s = (now_ns - frame.received_ns) / 1e9
        device.down.send(ANSWER_BYTES, lambda: self._back(device, taken, status, server_s))

    def _back(self, device: Device, taken: Taken, status: str, server_s: float) -> None:
        device.policy.on_answer(taken.number, server_s, self.clock.now_ns / 1e9)
        if status == "OK":
            self._settle(device, taken, status, taken.choice)
        elif device.policy.falls_back:
            self._answer_itself(device, taken, status)
        else:
            self._settle(device, taken, status)

    def _settle(
        self, device: Device, taken: Taken, status: str, answer: Choice | None = None
    ) -> None:
        if taken.status:
            return  # a second answer, or the deadline of an answered frame
        taken.status, taken.answer, taken.answered_ns = status, answer, self.clock.now_ns
        device.flying.pop(taken.number, None)
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
