"""The simulated replica against queues whose waits are known: M/M/1 and M/D/1."""

from random import Random

import pytest

pytest.importorskip("simpy", reason="needs the server extra")

from narrows.simulations.events.replica import ReplicaLimits
from narrows.simulations.planning.replica_load import OpenLoad, serve_open_load

SERVICE_MS, FRAMES = 10.0, 15_000
ALONE = ReplicaLimits(max_batch=1, max_waiting=10_000)


class Deterministic:
    """Service of one duration; everything else takes no time."""

    loop_ms = 0.0

    def batch_ns(self, size: int, group: object, rng: Random) -> int:
        return round(SERVICE_MS * 1e6)

    def answer_ns(self, size: int, rng: Random) -> int:
        return 0

    def arrival_ns(self, busy: bool, rng: Random) -> int:
        return 0


class Exponential(Deterministic):
    """Service without memory."""

    def batch_ns(self, size: int, group: object, rng: Random) -> int:
        return round(rng.expovariate(1 / SERVICE_MS) * 1e6)


def served(times: Deterministic, utilisation: float):
    rate = 1e3 * utilisation / SERVICE_MS
    return serve_open_load(OpenLoad(FRAMES, rate, FRAMES / rate, seed=11), times, ALONE)


@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.8])
def test_mean_sojourn_of_m_m_1(utilisation):
    found = served(Exponential(), utilisation)
    expected_ms = SERVICE_MS / (1 - utilisation)
    assert found.latency_ms.mean() == pytest.approx(expected_ms, rel=0.08)
    assert found.busy == pytest.approx(utilisation, rel=0.03)
    assert found.refused == 0


def test_quantiles_of_m_m_1_are_exponential():
    found = served(Exponential(), 0.6)
    mean_ms = SERVICE_MS / (1 - 0.6)
    assert found.percentile_ms(50) == pytest.approx(0.693 * mean_ms, rel=0.08)
    assert found.percentile_ms(99) == pytest.approx(4.605 * mean_ms, rel=0.12)


@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.8])
def test_mean_wait_of_m_d_1(utilisation):
    """Pollaczek-Khinchine: half the wait of M/M/1."""
    found = served(Deterministic(), utilisation)
    wait_ms = SERVICE_MS * utilisation / (2 * (1 - utilisation))
    assert found.latency_ms.mean() == pytest.approx(SERVICE_MS + wait_ms, rel=0.06)


def test_the_event_loop_bounds_what_a_replica_takes():
    times = Deterministic()
    times.loop_ms = 20.0  # twice what the tail takes
    found = serve_open_load(OpenLoad(10, 80.0, 20.0, 1), times, ALONE)
    assert found.throughput == pytest.approx(50.0, rel=0.05)


def test_the_same_seed_is_the_same_run():
    load = OpenLoad(20, 60.0, 10.0, seed=5)
    one, same = (serve_open_load(load, Exponential(), ALONE) for _ in range(2))
    assert one.latency_ms.tolist() == same.latency_ms.tolist()
    other = serve_open_load(OpenLoad(20, 60.0, 10.0, seed=6), Exponential(), ALONE)
    assert one.latency_ms.tolist() != other.latency_ms.tolist()


def test_a_deadline_refuses_and_never_answers_late_by_more_than_a_batch():
    load = OpenLoad(50, 150.0, 20.0, seed=2, deadline_ms=100.0)
    found = serve_open_load(load, Deterministic(), ALONE)
    assert found.refused > 0
    assert found.latency_ms.max() <= 100.0 + SERVICE_MS
    assert found.throughput == pytest.approx(1e3 / SERVICE_MS, rel=0.05)
