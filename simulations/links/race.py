"""Policies on one link in virtual time: the relay's arithmetic, no sockets, the same every time.

A frame is captured every period, its features take the device a moment, the policy chooses, the
bytes go up the line, the server takes its time, the answer comes down. What is not there by the
deadline is late; a policy that falls back then has the device's own answer.
"""

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from narrows.edge.link import PINGS
from narrows.edge.policy.policy import Decision, Moment, Policy
from narrows.simulations.links.link import Link
from narrows.simulations.links.pipe import Pipe
from narrows.simulations.links.workload import Workload

PING_BYTES = 40  # with framing


@dataclass(frozen=True)
class Terms:
    """The same for all who race."""

    frames: int = 6000
    fps: float = 10.0
    deadline_s: float = 0.3
    device_s: float = 0.005  # from capture to features
    server_s: float = 0.005
    answer_bytes: int = 160  # with framing
    begins_s: float = 0.0  # at the first frame's capture

    def captured_ns(self, frame: int) -> int:
        """The instant of a frame's capture."""
        return round(self.begins_s * 1e9 + frame * 1e9 / self.fps)


@dataclass
class Result:
    """What became of a policy's frames."""

    frames: int = 0
    worth: float = 0.0
    missed: int = 0  # no answer at all by the deadline
    rescued: int = 0  # late, and the device's own answer stood in
    local: int = 0  # not sent at all
    sent_bytes: float = 0.0
    chosen: dict[str, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)  # of answers that came in time

    def add(self, decision: Decision, size_bytes: float) -> None:
        """A frame, before it is known what becomes of it."""
        name = str(decision.choice)
        self.frames += 1
        self.sent_bytes += size_bytes
        self.local += decision.choice.kind == "local"
        self.chosen[name] = self.chosen.get(name, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """Shares of all frames; accuracy counts a frame without an answer as wrong."""
        in_time = self.latencies_s or [0.0]
        return {
            "accuracy": self.worth / self.frames,
            "missed": self.missed / self.frames,
            "rescued": self.rescued / self.frames,
            "local": self.local / self.frames,
            "bytes": self.sent_bytes / self.frames,
            "p50_ms": float(np.percentile(in_time, 50)) * 1e3,
            "p99_ms": float(np.percentile(in_time, 99)) * 1e3,
            "chosen": {k: v / self.frames for k, v in sorted(self.chosen.items())},
        }


def ping(policy: Policy, link: Link) -> None:
    """The pings of a connection's beginning, one after the other, on an empty line."""
    up, down = Pipe(link.up), Pipe(link.down)
    now_ns = 0
    for _ in range(PINGS):
        back_ns = down.reserve(PING_BYTES, up.reserve(PING_BYTES, now_ns))
        policy.on_ping((back_ns - now_ns) / 1e9, back_ns / 1e9)
        now_ns = back_ns


def race(policy: Policy, link: Link, workload: Workload, terms: Terms) -> Result:
    """Run every frame; deterministic."""
    up, down = Pipe(link.up), Pipe(link.down)
    result, under_way = Result(), list[tuple[int, int]]()  # (arrival in ns, frame)
    ping(policy, link)
    own = next(i for i, choice in enumerate(workload.menu) if choice.kind == "local")
    for frame in range(terms.frames):
        row = frame % len(workload.own)
        captured_ns = terms.captured_ns(frame)
        now_ns = captured_ns + round(terms.device_s * 1e9)
        while under_way and under_way[0][0] <= now_ns:
            arrived_ns, earlier = heapq.heappop(under_way)
            policy.on_answer(earlier, terms.server_s, arrived_ns / 1e9)
        moment = Moment(now_ns / 1e9, terms.device_s, terms.device_s, workload.own[row])
        decision = policy.choose(moment)
        column = workload.column(decision.choice)
        size = workload.wire_bytes[row, column]
        result.add(decision, size)
        if decision.choice.kind == "local":
            result.worth += workload.worth[row, own]
            continue
        now_ns += round(decision.choice.extra_s * 1e9)
        deadline_ns = captured_ns + round(terms.deadline_s * 1e9)
        if up.busy_until_ns < deadline_ns:  # else it expires before its turn and is never sent
            policy.on_sent(frame, size, now_ns / 1e9)
            arrived_ns = up.reserve(int(size), now_ns) + round(terms.server_s * 1e9)
            answered_ns = down.reserve(terms.answer_bytes, arrived_ns)
            heapq.heappush(under_way, (answered_ns, frame))
            if answered_ns <= deadline_ns:
                result.worth += workload.worth[row, column]
                result.latencies_s.append((answered_ns - captured_ns) / 1e9)
                continue
        if policy.falls_back and workload.menu[own].accuracy > 0:
            result.worth += workload.worth[row, own]
            result.rescued += 1
        else:
            result.missed += 1
    return result
