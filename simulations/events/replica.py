"""A replica in simulated time: the server's own queue and pace, its batcher's rule, drawn times.

`SimulatedReplica` follows server/batching.py method by method; a test runs both on the same
arrivals. Time is SimPy's, in whole nanoseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from narrows.server.pace import Pace
from narrows.server.queue import FairQueue
from narrows.simulations.events.clock import Clock


class Times(Protocol):
    """What a replica draws its times from: a machine's, replayed, or a distribution of theory."""

    def batch_ns(self, size: int, group: Any, rng: Random) -> int:
        """From a batch's start to its end; `group` is its frames'."""

    def answer_ns(self, size: int, rng: Random) -> int:
        """From there to the answer in the device's hands."""

    def arrival_ns(self, busy: bool, rng: Random) -> int:
        """From a frame's last byte on the link until the replica has it."""

    @property
    def loop_ms(self) -> float:
        """The event loop's time a frame."""


@dataclass(eq=False)
class SimulatedFrame:
    """One frame on its way; moments in ns of simulated time."""

    device: str
    due_ns: int
    group: Any = None  # a point or PICTURE: of equal group go through the networks together
    patience_ns: int | None = None  # from its receipt to its deadline; None: for ever
    of: Any = None  # the device's own record of it
    deadline_ns: int | None = None
    received_ns: int = 0
    started_ns: int = 0
    served_ns: int = 0
    batch: int = 0
    settled: bool = False  # nobody waits any more


@dataclass(frozen=True)
class ReplicaLimits:
    """As in server/settings.py."""

    max_batch: int = 16
    max_waiting: int = 256


Settled = Callable[[SimulatedFrame, str], None]  # a frame, and its status when it is back


class SimulatedReplica:
    """An event loop, a queue and one worker."""

    def __init__(
        self,
        clock: Clock,
        times: Times,
        limits: ReplicaLimits,
        rng: Random,
        settled: Settled,
    ):
        self._clock, self._times, self._limits, self._rng = clock, times, limits, rng
        self._settled = settled
        self._waiting, self._pace = FairQueue[SimulatedFrame](), Pace()
        self._start: int | None = None  # of the next batch, by its number
        self._starts = 0
        self._running: list[SimulatedFrame] = []
        self._loop_free_ns = self._frozen_until_ns = 0
        self._life = 0
        self.busy_ns = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def wait_ns(self) -> float:
        """How long a frame that came now would wait, by the replica's own pace."""
        waiting = len(self._waiting)
        return self._pace.until_answered_ns(waiting, bool(self._running)) if waiting else 0.0

    def send(self, frame: SimulatedFrame) -> None:
        """A frame's last byte is here; the event loop reads it when it gets to it."""
        now, life = self._clock.now_ns, self._life
        start = max(now, self._loop_free_ns, self._frozen_until_ns)
        self._loop_free_ns = start + round(self._times.loop_ms * 1e6)
        delay = start - now + self._times.arrival_ns(bool(self._running), self._rng)
        self._clock.after(delay, lambda: self._received(frame, life))

    def _received(self, frame: SimulatedFrame, life: int) -> None:
        if life != self._life:
            return  # it was on its way to a process that died
        frame.received_ns = self._clock.now_ns
        if frame.patience_ns is not None:
            frame.deadline_ns = self._clock.now_ns + frame.patience_ns
        status = self._submit(frame)
        if status is not None:
            self._answer(frame, 1, status)

    def _submit(self, frame: SimulatedFrame) -> str | None:
        """Queue a frame, or say why not."""
        now = self._clock.now_ns
        if _expired(frame, now):
            return "DEADLINE_EXCEEDED"
        if len(self._waiting) >= self._limits.max_waiting:
            return "OVERLOADED"
        if self._too_late(frame, now):
            return "DEADLINE_EXCEEDED"
        self._pace.arrived(now)
        self._waiting.add(frame)
        if not self._running:
            self._begin()
        return None

    def _too_late(self, frame: SimulatedFrame, now: int) -> bool:
        if frame.deadline_ns is None or not (self._waiting or self._running):
            return False
        ahead = self._waiting.ahead_of(frame.device)
        needed_ns = self._pace.until_answered_ns(ahead, bool(self._running))
        return needed_ns > frame.deadline_ns - now

    def _begin(self) -> None:
        missing = self._limits.max_batch - len(self._waiting)
        wait_ns = self._time_to_fill_ns(missing) if missing > 0 else 0.0
        if self._start is not None and missing > 0:
            return  # one is about to start
        self._starts += 1
        self._start = number = self._starts
        self._clock.after(round(wait_ns), lambda: self._run(number))

    def _time_to_fill_ns(self, missing: int) -> float:
        first = next(self._waiting.in_order(), None) if self._pace.gap_ns else None
        if first is None:
            return 0.0
        due_ns = first.deadline_ns or first.received_ns + int(self._pace.batch_ns)
        return self._pace.wait_ns(missing, due_ns - self._clock.now_ns - self._pace.batch_ns)

    def _run(self, number: int) -> None:
        if number != self._start:
            return  # the batch filled, and another start took this one's place
        self._start = None
        batch = self._next_batch(self._clock.now_ns)
        if batch:
            self._running = batch
            took_ns = self._times.batch_ns(len(batch), batch[0].group, self._rng)
            self.busy_ns += took_ns
            self._finish_after(took_ns, self._clock.now_ns, self._life)

    def _finish_after(self, took_ns: int, started_ns: int, life: int) -> None:
        def finish() -> None:
            if (frozen_ns := self._frozen_until_ns - self._clock.now_ns) > 0:
                self._finish_after(frozen_ns, started_ns, life)
            elif life == self._life:
                self._finished(started_ns)

        self._clock.after(took_ns, finish)

    def _finished(self, started_ns: int) -> None:
        batch, self._running = self._running, []
        self._pace.served(len(batch), self._clock.now_ns - started_ns)
        for frame in batch:
            frame.started_ns, frame.served_ns = started_ns, self._clock.now_ns
            frame.batch = len(batch)
            self._answer(frame, len(batch), "OK")
        if self._waiting:
            self._begin()

    def _next_batch(self, now: int) -> list[SimulatedFrame]:
        """The most urgent frame and those of its group; late and settled ones are taken out."""
        batch: list[SimulatedFrame] = []
        gone: set[int] = set()
        for frame in self._waiting.in_order():
            if frame.settled:
                gone.add(id(frame))
            elif _expired(frame, now):
                gone.add(id(frame))
                self._answer(frame, 1, "DEADLINE_EXCEEDED")
            elif len(batch) < self._limits.max_batch and (
                not batch or frame.group == batch[0].group
            ):
                batch.append(frame)
                gone.add(id(frame))
        self._waiting.remove(gone)
        return batch

    def _answer(self, frame: SimulatedFrame, size: int, status: str) -> None:
        delay, life = self._times.answer_ns(size, self._rng), self._life

        def back() -> None:
            if life == self._life:
                self._settled(frame, status)

        self._clock.after(delay, back)

    @property
    def frozen(self) -> bool:
        """Whether the process stands still now."""
        return self._clock.now_ns < self._frozen_until_ns

    def freeze(self, for_ns: int) -> None:
        """The process stands still; what comes waits in its socket."""
        self._frozen_until_ns = max(self._frozen_until_ns, self._clock.now_ns + for_ns)

    def kill(self) -> None:
        """The process is gone with all it held; another in its place has learned nothing yet."""
        self._life += 1
        self._waiting, self._pace = FairQueue[SimulatedFrame](), Pace()
        self._start, self._running, self._loop_free_ns = None, [], self._clock.now_ns


def _expired(frame: SimulatedFrame, now: int) -> bool:
    return frame.deadline_ns is not None and now >= frame.deadline_ns
