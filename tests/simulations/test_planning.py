"""Plans: fleets grow with devices, meet their deadline, and say what is impossible."""

import json
import math

import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")

from machine_times import service_times
from typer.testing import CliRunner

from narrows.cli import app
from narrows.errors import ConfigError
from narrows.simulations.planning import curve as curves
from narrows.simulations.planning.curve import Need, queueing_curve
from narrows.simulations.planning.fleet import fleet_of, replicas_for
from narrows.simulations.planning.pacing import Pacing

NEED = Need(fps=2.0, deadline_ms=200.0, outside_ms=5.0)


@pytest.fixture(scope="module")
def curve():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "FRAMES", 2_500)
        return queueing_curve(NEED, service_times(), 16, seed=0)


def test_the_curve_rises_and_meets_the_deadline_at_its_capacity(curve):
    p50 = [point.p50_ms for point in curve.points if point.devices <= 1.01 * curve.capacity]
    assert p50 == sorted(p50)
    within = [point for point in curve.points if point.devices <= 0.8 * curve.capacity]
    assert all(point.p99_ms <= NEED.deadline_ms for point in within)
    assert curve.points[-1].p99_ms > NEED.deadline_ms
    assert curve.capacity * NEED.fps < service_times().most_per_second()


@pytest.mark.parametrize("devices", [1, 50, 10_000, 1_000_000])
def test_a_fleet_meets_the_deadline(curve, devices):
    fleet = fleet_of(devices, NEED, curve, service_times(), 565.0)
    assert fleet.p99_ms <= NEED.deadline_ms
    assert fleet.missed < 0.01
    assert fleet.replicas * curve.capacity >= devices
    assert fleet.uplink_gbit_s == pytest.approx(devices * 2 * 605 * 8 / 1e9)
    assert 1 <= fleet.ingresses <= fleet.replicas


def test_headroom_shrinks_as_replicas_take_more():
    def headroom(capacity: float) -> float:
        return replicas_for(1_000_000, capacity) * capacity / 1_000_000

    assert headroom(10) > headroom(100) > headroom(1000) > 1
    mean = 1_000_000 / replicas_for(1_000_000, 100)
    assert mean + 3.09 * math.sqrt(mean) == pytest.approx(100, rel=0.01)


def test_an_impossible_deadline_is_told():
    with pytest.raises(ConfigError, match=r"a nearly idle replica's p99 is \d+ ms"):
        queueing_curve(Need(2.0, 8.0, 5.0), service_times(), 16, seed=0)


def test_the_command(tiny_bundle, tmp_path):
    service_times(base_ms=1.0, frame_ms=0.5).save(tmp_path / "times.json")
    arguments = ["plan", "--devices", "1e6", "--fps", "2", "--deadline", "200ms", "--json"]
    arguments += ["--bundle", str(tiny_bundle), "--service", str(tmp_path / "times.json")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "FRAMES", 2_500)
        done = CliRunner().invoke(app, arguments)
    assert done.exception is None
    found = json.loads(done.stdout)
    assert {"ingresses", "replicas", "uplink_gbit_s", "p99_ms", "seconds_to_compute"} <= set(found)
    assert found["devices"] == 1_000_000
    assert found["gpus"] == 0
    assert found["p99_ms"] <= 200


@pytest.mark.parametrize("deadline", ["200", "-1ms", "0ms", "soon"])
def test_a_deadline_that_is_no_time_is_told(deadline):
    done = CliRunner().invoke(app, ["plan", "--deadline", deadline])
    assert isinstance(done.exception, ConfigError)
    assert f"--deadline {deadline}" in str(done.exception)


@pytest.mark.parametrize("text", ["20", "20,x", "-1,2", "1,2,3", "nan,1", "1,inf"])
def test_a_pace_that_is_none_is_told(text):
    with pytest.raises(ConfigError, match="expected BASE,FRAME"):
        Pacing.parse(text)
