"""The best that any policy could have done on a trace that it knew: exact, by dynamic programming.

A state is when the line is free; of two with no less accuracy the one that is free earlier is never
worse, so a short front of states is kept. Answers are let down an empty line, which flatters it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from narrows.edge.policy.menu import Choice
from narrows.simulations.links.link import Link
from narrows.simulations.links.race import Terms
from narrows.simulations.links.workload import Workload

FRONT = 200  # states kept at most; the best by accuracy


@dataclass(frozen=True)
class Best:
    """What the oracle reaches, by the accuracies of the menu."""

    expected: float  # accuracy it plans with
    worth: float  # accuracy its plan has on the frames
    unreachable: float  # share of frames that no choice but the own answer had in time
    plan: tuple[Choice, ...] = ()  # of every frame


@dataclass(frozen=True)
class _State:
    free_ns: int
    expected: float
    worth: float
    unreachable: int
    choice: Choice | None = None  # of the latest frame
    before: "_State | None" = None


def oracle(link: Link, workload: Workload, terms: Terms) -> Best:
    """Knows the trace and every frame's bytes, not the labels."""
    front = [_State(0, 0.0, 0.0, 0)]
    for frame in range(terms.frames):
        row = frame % len(workload.own)
        ways = [new for state in front for new in _ways(state, frame, row, link, workload, terms)]
        front = _pruned(ways, terms.captured_ns(frame + 1))
    best = max(front, key=lambda state: state.expected)
    frames = terms.frames
    shares = best.expected / frames, best.worth / frames, best.unreachable / frames
    return Best(*shares, tuple(_plan(best))[::-1])


def _plan(state: _State | None) -> Iterator[Choice]:
    """From the last frame to the first."""
    while state is not None and state.choice is not None:
        yield state.choice
        state = state.before


def _ways(
    state: _State, frame: int, row: int, link: Link, workload: Workload, terms: Terms
) -> list[_State]:
    captured_ns = terms.captured_ns(frame)
    ready_ns = captured_ns + round(terms.device_s * 1e9)
    deadline_ns = captured_ns + round(terms.deadline_s * 1e9)
    server_ns = round(terms.server_s * 1e9)
    ways, own = [], 0
    for column, choice in enumerate(workload.menu):
        worth = workload.worth[row, column]
        if choice.kind == "local":
            own = column
            continue
        start_ns = max(state.free_ns, ready_ns + round(choice.extra_s * 1e9))
        free_ns = link.up.finished_ns(int(workload.wire_bytes[row, column]), start_ns)
        if free_ns > deadline_ns:
            continue
        there_ns = free_ns + link.up.delay_at(free_ns) + server_ns
        back_ns = link.down.finished_ns(terms.answer_bytes, there_ns)
        if back_ns + link.down.delay_at(back_ns) <= deadline_ns:
            ways.append(
                _State(free_ns, state.expected + choice.accuracy, state.worth + worth,
                       state.unreachable, choice, state)
            )  # fmt: skip
    kept = state.expected + workload.menu[own].accuracy
    ways.append(
        _State(max(state.free_ns, captured_ns), kept, state.worth + workload.worth[row, own],
               state.unreachable + (not ways), workload.menu[own], state)
    )  # fmt: skip
    return ways


def _pruned(states: list[_State], next_ns: int) -> list[_State]:
    """Those that no other beats in both, the earliest first; before `next_ns` all are alike."""
    states = [replace(state, free_ns=max(state.free_ns, next_ns)) for state in states]
    front, best = list[_State](), -1.0
    for state in sorted(states, key=lambda s: (s.free_ns, -s.expected)):
        if state.expected > best + 1e-12:
            front.append(state)
            best = state.expected
    return front if len(front) <= FRONT else front[-FRONT:]
