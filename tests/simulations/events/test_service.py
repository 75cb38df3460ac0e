"""Service times: kept as JSON, drawn between what was measured, refused where they are wrong."""

import json

import pytest

pytest.importorskip("pydantic", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")

from machine_times import service_times

from narrows.errors import ConfigError
from narrows.simulations.events.service import ServiceTimes, at_quantile, between


def test_what_is_saved_is_loaded(tmp_path):
    times = service_times()
    times.save(tmp_path / "deep" / "times.json")
    loaded = ServiceTimes.load(tmp_path / "deep" / "times.json")
    assert loaded.machine == times.machine
    assert loaded.batch_ms[8] == pytest.approx(times.batch_ms[8], abs=1e-3)
    assert loaded.most_per_second() == pytest.approx(times.most_per_second(), rel=1e-3)


def test_sizes_between_measured_ones_lie_between_them():
    by_size = {2: (10.0, 20.0), 4: (30.0, 60.0)}
    assert between(by_size, 2, 0.0) == 10.0
    assert between(by_size, 3, 1.0) == 40.0
    assert between(by_size, 1, 0.5) == 15.0
    assert between(by_size, 8, 1.0) == 120.0


def test_quantiles_lie_between_samples():
    assert at_quantile((1.0, 3.0, 7.0), 0.75) == 5.0
    assert at_quantile((4.0,), 0.3) == 4.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"loop_ms": -1}, "loop_ms"),
        ({"speed": 2}, "speed"),
        ({"idle_ms": []}, "idle_ms"),
        ({"batch_ms": {"0": [1.0]}}, "batch_ms"),
        ({"batch_ms": {"1": ["soon"]}}, "batch_ms.1.0"),
    ],
)
def test_a_wrong_file_is_told_by_its_key(tmp_path, change, named):
    path = tmp_path / "times.json"
    path.write_text(json.dumps(service_times().model_dump(mode="json") | change))
    with pytest.raises(ConfigError, match=rf"times.json: {named}: "):
        ServiceTimes.load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        ServiceTimes.load(tmp_path / "none.json")
