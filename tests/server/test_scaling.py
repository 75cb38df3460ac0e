"""How many replicas: quick to add, slow to take away, never beyond the bounds."""

from hypothesis import given
from hypothesis import strategies as st

from narrows.server.scaling import DOWN_AFTER, TARGET_MS, UP_AFTER, Balancer, Load, Scaler


def looks(scaler: Scaler, running: int, waits_ms: list[float], count: int) -> int:
    for _ in range(count):
        running = scaler.wanted(running, waits_ms * running)
    return running


def test_a_burst_adds_none_and_a_lasting_wait_one_at_a_time():
    scaler = Scaler(1, 4)
    assert looks(scaler, 1, [2 * TARGET_MS], UP_AFTER - 1) == 1
    assert looks(scaler, 1, [TARGET_MS / 2], 1) == 1
    assert looks(scaler, 1, [2 * TARGET_MS], UP_AFTER) == 2
    assert looks(scaler, 2, [2 * TARGET_MS], 10 * UP_AFTER) == 4


def test_quiet_times_take_away_slowly_and_a_middling_wait_nothing():
    scaler = Scaler(1, 4)
    assert looks(scaler, 3, [0.0], DOWN_AFTER - 1) == 3
    assert looks(scaler, 3, [0.0], 1) == 2
    assert looks(scaler, 2, [TARGET_MS / 2], 10 * DOWN_AFTER) == 2


@given(st.integers(1, 3), st.integers(0, 4), st.lists(st.floats(0, 1000), max_size=300))
def test_it_stays_within_its_bounds(least, more, waits):
    scaler, running = Scaler(least, least + more), least
    for wait in waits:
        wanted = scaler.wanted(running, [wait] * running)
        assert least <= wanted <= least + more
        assert abs(wanted - running) <= 1
        running = wanted


def test_a_dead_replica_is_missed_at_once():
    assert Scaler(2, 4).wanted(1, [0.0]) == 2


def moves(loads: dict[int, Load], looks: int = UP_AFTER) -> tuple[int, float] | None:
    balancer = Balancer()
    return [balancer.to_shed(loads) for _ in range(looks)][-1]


def test_a_replica_whose_frames_wait_lets_half_go_while_another_is_idle():
    hot, calm, idle = Load(3 * TARGET_MS, 9), Load(TARGET_MS / 2, 9), Load(0.0, 8)
    assert moves({0: calm, 1: hot, 2: idle}) == (1, 0.5)
    assert moves({0: calm, 1: hot}) is None  # the other has no room either
    assert moves({0: calm, 1: hot, 2: idle}, UP_AFTER - 1) is None  # it may be a burst
    assert moves({0: calm, 1: hot, 2: idle}, UP_AFTER + 1) is None  # it takes time to show


def test_a_crowd_spreads_and_an_ordinary_difference_does_not_matter():
    assert moves({0: Load(0.0, 8), 1: Load(0.0, 0), 2: Load(0.0, 1)}) == (0, 1 - 3 / 8)
    assert moves({0: Load(0.0, 3), 1: Load(0.0, 0)}) is None
    assert moves({0: Load(0.0, 60), 1: Load(0.0, 40)}) is None
    assert moves({}) is None
