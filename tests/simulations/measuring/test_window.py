"""When a window opens and closes: by frames, not by the clock."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.simulations.measuring.window import Instant, Spent, Window


def counting():
    """Instants numbered from 1 as they are looked at."""
    numbers = count(1)

    def look():
        number = next(numbers)
        return Instant(float(number), (10.0 * number, 0.0), 2.0 * number, 3.0 * number)

    return look


def told(window, *devices):
    for device in devices:
        window.on_record({"device": device})
    return window.spent()


def test_it_opens_when_every_device_has_told_of_a_frame_and_closes_with_the_last():
    window = Window(counting(), devices=2, frames=6)
    assert told(window, 0, 0) is None
    assert told(window, 1, 0, 1, 0) == Spent(3, 1.0, (10.0, 0.0), 2.0, 3.0)
    assert window.spent() == window.spent()  # closed: nothing is looked at any more


def test_where_a_frame_never_comes_it_is_closed_by_asking():
    window = Window(counting(), devices=1, frames=9)
    assert told(window, 0, 0, 0) == Spent(2, 1.0, (10.0, 0.0), 2.0, 3.0)


def test_first_frames_alone_are_no_window():
    assert told(Window(counting(), devices=2, frames=2), 0, 1) is None
    assert told(Window(counting(), devices=2, frames=4), 0, 0) is None


@given(st.lists(st.integers(0, 2), max_size=40))
def test_every_frame_after_the_opening_is_in_it(devices):
    window = Window(counting(), 3, len(devices))
    spent = told(window, *devices)
    firsts = [devices.index(device) for device in range(3) if device in devices]
    inside = len(devices) - 1 - max(firsts) if len(firsts) == 3 else 0
    assert (0 if spent is None else spent.frames) == inside


def test_two_whiles_together_are_their_sums():
    one = Spent(3, 1.0, (10.0, 1.0), 2.0, 3.0)
    assert one + one == Spent(6, 2.0, (20.0, 2.0), 4.0, 6.0)
    with pytest.raises(ValueError, match="shorter"):
        one + Spent(1, 1.0, (1.0,), 1.0, 1.0)
