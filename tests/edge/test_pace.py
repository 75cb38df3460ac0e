"""When frames are taken, by a virtual clock."""

import asyncio
from itertools import pairwise

import pytest
from virtual_loop import VirtualLoop

from narrows.edge import pace as pace_module
from narrows.edge.pace import Pace


@pytest.fixture
def loop(monkeypatch):
    loop = VirtualLoop()
    monkeypatch.setattr(pace_module, "monotonic_ns", loop.monotonic_ns)
    yield loop
    loop.close()


def gaps(loop, fps, one_in, work_s=0.03, frames=6) -> list[float]:
    """Seconds between frames that take `work_s` each."""

    async def drive():
        pace, told = Pace(fps, asyncio.Event()), []
        for _ in range(frames):
            told.append(await pace.due(one_in))
            await asyncio.sleep(work_s)
        return [(after - before) / 1e9 for before, after in pairwise(told)]

    return loop.run_until_complete(drive())


@pytest.mark.parametrize("one_in", [1, 2, 4, 8])
def test_a_rate_and_a_cameras_own_are_so_many_times_lower(loop, one_in):
    assert gaps(loop, 10.0, one_in) == pytest.approx([0.1 * one_in] * 5, abs=1e-6)
    assert gaps(loop, None, one_in) == pytest.approx([0.03 * one_in] * 5, abs=1e-6)


def test_a_late_frame_does_not_hurry_the_next(loop):
    assert gaps(loop, 10.0, 1, work_s=0.25) == pytest.approx([0.25] * 5)


def test_a_camera_that_hung_is_not_rested_from_for_as_long(loop):
    assert gaps(loop, None, 8, work_s=60.0) == pytest.approx([67.0] * 5)


@pytest.mark.parametrize("fps", [None, 1e-5])
def test_the_signal_to_stop_ends_the_waiting(loop, fps):
    async def drive():
        stop = asyncio.Event()
        pace = Pace(fps, stop)
        await pace.due()
        loop.call_later(0.5, stop.set)
        await asyncio.sleep(0.4)
        await pace.due(8)
        return loop.time()

    assert loop.run_until_complete(drive()) == pytest.approx(1.5)
