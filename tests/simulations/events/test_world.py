"""Scenarios in simulated time: every frame has one end, faults do what they say, seeds repeat."""

from collections import Counter

import pytest

pytest.importorskip("simpy", reason="needs the server extra")

from simulated import FINE, MENU, frames_of, scenario

from narrows.edge.policy.baselines import FixedPolicy
from narrows.edge.policy.policy import Moment
from narrows.simulations.events.ways import Way


def test_every_frame_has_one_end_and_its_parts_add_up():
    frames = frames_of(scenario())
    assert len(frames) == pytest.approx(6 * 2 * 20, abs=6)
    for frame in frames:
        assert frame.status == "OK"
        moments = (
            frame.due_ns, frame.sent_ns, frame.received_ns, frame.started_ns, frame.served_ns,
            frame.answered_ns,
        )  # fmt: skip
        assert list(moments) == sorted(moments)
        assert frame.sent_ns - frame.due_ns >= 4_000_000  # a 2 ms head on half a core
        assert frame.received_ns - frame.sent_ns >= 20_000_000 + 4_000_000  # delay, 1000 bytes


def test_the_same_seed_gives_the_same_frames():
    def seen(seed: int) -> list[tuple[int, int]]:
        return [(f.due_ns, f.answered_ns) for f in frames_of(scenario(), seed)]

    assert seen(3) == seen(3)
    assert seen(3) != seen(4)


def test_a_cut_link_costs_the_frames_of_its_class_while_it_lasts():
    camera = {"devices": 3, "fps": 2.0, "link": "2mbit,20ms"}
    told = scenario(
        classes={"camera": camera, "gateway": camera},
        faults=[{"kind": "link", "at_s": 5, "for_s": 4, "devices": "camera"}],
    )
    lost = [f for f in frames_of(told) if f.status != "OK"]
    assert lost
    assert {f.kind for f in lost} == {"camera"}
    assert all(4.4e9 <= f.due_ns <= 9e9 for f in lost)


def test_frames_of_a_killed_replica_are_answered_by_its_sibling():
    told = scenario(
        server={"replicas": 2}, faults=[{"kind": "killed", "at_s": 5, "for_s": 10, "replica": 0}]
    )
    frames = frames_of(told)
    assert {f.status for f in frames} == {"OK"}
    while_dead = [f for f in frames if 5.1e9 < f.due_ns < 14e9]
    assert {f.replica for f in while_dead} == {1}
    assert {f.replica for f in frames if f.answered_ns < 5e9} == {0, 1}


def test_a_lone_replica_that_dies_is_waited_for_and_comes_back():
    told = scenario(faults=[{"kind": "killed", "at_s": 5, "for_s": 3}])
    counts = Counter((f.status == "OK", 4.4e9 < f.due_ns < 9e9) for f in frames_of(told))
    assert counts[False, True] > 0  # given up at their deadlines
    assert counts[False, False] == 0
    assert counts[True, False] > 100


def test_a_frozen_replica_is_left_once_that_is_noticed():
    told = scenario(
        server={"replicas": 2}, deadline_ms=10_000,
        faults=[{"kind": "frozen", "at_s": 5, "for_s": 60, "replica": 0}],
    )  # fmt: skip
    frames = frames_of(told)
    assert {f.status for f in frames} == {"OK"}
    assert max(f.sendings for f in frames) == 2
    slow = [f for f in frames if f.answered_ns - f.due_ns > 1e9]
    assert slow
    assert all(f.replica == 1 for f in slow)


def test_an_empty_battery_ends_a_device():
    poor = {
        "devices": 1,
        "fps": 2.0,
        "link": "2mbit,1ms",
        "active_watts": 1.8,
        "battery_wh": 9.9e-6,
    }
    frames = frames_of(scenario(classes={"camera": poor}))
    assert len(frames) == 10  # 35.6 mJ, of which a frame's 2 ms take 3.6


def test_a_window_holds_a_device_back():
    slow = {"devices": 1, "fps": 50.0, "link": "16kbit,1ms", "window": 2}
    frames = frames_of(scenario(deadline_ms=60_000, classes={"camera": slow}))
    per_frame_s = (1000 + 40) * 8 / 16_000
    assert len(frames) == pytest.approx(20 / per_frame_s, rel=0.15)


def test_a_policy_is_asked_for_every_frame():
    seen: list[Moment] = []

    class ByTurns(FixedPolicy):
        def choose(self, moment: Moment):
            seen.append(moment)
            self.choice = MENU[len(seen) % 2]
            return super().choose(moment)

    frames = frames_of(scenario(), way=Way("turns", True, lambda terms: ByTurns(FINE)))
    assert len(seen) == len(frames)
    assert {f.wire_bytes for f in frames} == {240, 1040}
    assert all(moment.spent_s >= moment.device_s == 0.004 for moment in seen)
