"""Lines in simulated time: a pipe's arithmetic to the nanosecond, and one line for several."""

import pytest

pytest.importorskip("simpy", reason="needs the server extra")

from hypothesis import given
from hypothesis import strategies as st
from machine_times import service_times
from simulated import KNOWN, scenario

from narrows.simulations.events.clock import Clock
from narrows.simulations.events.link import SimulatedLine
from narrows.simulations.events.ways import way_named
from narrows.simulations.events.world import World
from narrows.simulations.links import link
from narrows.simulations.links.link import open_link, open_links
from narrows.simulations.links.pipe import Pipe
from narrows.simulations.links.spec import LinkSpec
from narrows.simulations.links.trace import Trace

SECONDS = st.integers(1, 10**9)
SENDS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 20_000)), max_size=30)
RATES = st.lists(st.sampled_from([0, 37_500, 10**6, 25 * 10**6]), min_size=1, max_size=6)


@st.composite
def shapes(draw):
    rates = [*draw(RATES), 64_000]
    lasts = draw(st.lists(SECONDS, min_size=len(rates), max_size=len(rates)))
    delays = draw(st.lists(st.integers(0, 10**8), min_size=len(rates), max_size=len(rates)))
    return Trace(lasts, rates, delays)


@given(shape=shapes(), sends=SENDS)
def test_a_line_is_the_pipe(shape, sends):
    clock, pipe, arrived = Clock(), Pipe(shape), list[tuple[int, int]]()
    line, expected, at_ns = SimulatedLine(clock, shape), [], 0

    def send(number: int, size: int) -> None:
        line.send(size, lambda: arrived.append((number, clock.now_ns)))

    for number, (gap_ns, size) in enumerate(sends):
        at_ns += gap_ns
        clock.after(at_ns, lambda number=number, size=size: send(number, size))
        expected.append((number, pipe.reserve(size, at_ns)))
    clock.run()
    assert arrived == expected
    assert line.carried_bytes == sum(size for _, size in sends)


def test_a_line_carries_one_after_the_other():
    clock, arrived = Clock(), []
    line = SimulatedLine(clock, LinkSpec.parse("8kbit,10ms"))
    for _ in range(3):
        line.send(100, lambda: arrived.append(clock.now_ns))
    clock.run()
    assert arrived == [110_000_000, 210_000_000, 310_000_000]


def test_a_cut_holds_back_what_is_under_way():
    clock, arrived = Clock(), []
    line = SimulatedLine(clock, LinkSpec.parse("8kbit,10ms"))
    line.send(100, lambda: arrived.append(clock.now_ns))
    line.cut(500_000_000)
    clock.run()
    assert arrived == [500_000_000]


def test_a_line_that_is_shared_takes_one_after_the_other():
    """On 64 kbit/s a frame of 1,040 bytes takes 130 ms; six devices' come one behind another's."""
    camera = {"devices": 6, "fps": 1.0, "link": "64kbit,20ms"}
    sent = {}
    for shared in (False, True):
        told = scenario(deadline_ms=9000, classes={"camera": camera | {"shared": shared}})
        world = World(told, service_times(), KNOWN, way_named("fixed:0"), 0)
        world.run(world.end_ns / 1e9)
        assert len({id(device.up) for device in world.devices}) == (1 if shared else 6)
        assert world.devices[0].up.carried_bytes == 1040 * (
            len(world.frames) if shared else sum(f.device == 0 for f in world.frames)
        )
        sent[shared] = sorted(f.received_ns for f in world.frames)
    gaps = [after - before for before, after in zip(sent[True], sent[True][1:], strict=False)]
    assert min(gaps) > 120_000_000  # but for how long the server takes to read it
    assert min(b - a for a, b in zip(sent[False], sent[False][1:], strict=False)) < 100_000_000


def test_a_profile_without_a_seed_is_drawn_anew_for_every_line():
    links = open_links("lte", 3, "0/camera", 60.0)
    assert len({each.up.finished_ns(40_000, 0) for each in links}) == 3
    again = open_links("lte", 3, "0/camera", 60.0)
    assert [each.name for each in again] == [each.name for each in links]
    assert len(open_links("1mbit,1ms", 1000, "0/camera", 60.0)) == 1


def test_a_profile_with_a_seed_is_the_relays_very_link():
    (ours,) = open_links("lora:7", 30, "0/camera", 60.0)
    theirs = open_link("lora:7")
    for start_ns in range(0, 10**11, 7 * 10**9):
        assert ours.up.finished_ns(900, start_ns) == theirs.up.finished_ns(900, start_ns)
        assert ours.down.delay_at(start_ns) == theirs.down.delay_at(start_ns)


def test_many_devices_share_traces_not_lines(monkeypatch):
    monkeypatch.setattr(link, "MOST_TRACES", 2)
    told = scenario(seconds=1.0, classes={"camera": {"devices": 5, "fps": 1.0, "link": "lora"}})
    world = World(told, service_times(), KNOWN, way_named("fixed:0"), 0)
    assert len({id(device.up) for device in world.devices}) == 5
