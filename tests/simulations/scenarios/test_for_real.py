"""Scenarios with real processes; what their records become in a run's columns."""

import json

import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the server extra")

from simulated import scenario
from typer.testing import CliRunner

from narrows.cli import app
from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.simulations.demo.photographs import write_crops
from narrows.simulations.events.ways import known_of
from narrows.simulations.scenarios.figures import empty
from narrows.simulations.scenarios.in_containers import services_of
from narrows.simulations.scenarios.scenario import Scenario
from narrows.simulations.scenarios.told import add_record, cameras_of, edge_options

TEXT = """
name = "mine"
bundle = "{bundle}"
seconds = 5
deadline_ms = 30000
ways = ["fixed:2", "fixed:0"]
[classes.camera]
devices = 2
fps = 2
link = "2mbit,5ms"
[classes.gateway]
devices = 1
fps = 3
link = "wifi"
shared = true
[[faults]]
kind = "link"
devices = "camera"
at_s = 1
for_s = 0.5
"""
FRAMES = {0: 10, 1: 10, 2: 15}  # of each device


@pytest.mark.slow
def test_every_frame_of_every_real_device_is_there_once(tiny_bundle, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.format(bundle=tiny_bundle))
    told = ["simulate", str(path), "--in", "processes", "--runs", str(tmp_path / "runs"), "--json"]
    done = CliRunner().invoke(app, told)
    assert done.exception is None, done.output
    result = json.loads(done.stdout)
    assert result["in"] == "processes"
    (run,) = (tmp_path / "runs").iterdir()
    frames = parquet.read_table(run / "events.parquet").to_pylist()
    for way, point in (("fixed:2", "point 2"), ("fixed:0", "point 0")):
        mine = [frame for frame in frames if frame["way"] == way]
        for device, count in FRAMES.items():
            numbers = [frame["frame"] for frame in mine if frame["device"] == device]
            assert sorted(numbers) == list(range(count))
        assert {frame["status"] for frame in mine} == {"OK"}
        assert {frame["choice"] for frame in mine} == {point}
        assert result["ways"][way]["answered"] == sum(FRAMES.values())
    assert json.loads((run / "config.json").read_text())["in"] == "processes"
    assert (run / "report.html").exists()


def record(**told):
    usual = {
        "frame_id": 3, "point": 2, "status": "OK", "wire_bytes": 400, "sendings": 1,
        "timing_ms": {"preprocess": 1.0, "head": 2.0, "code": 0.5, "send": 20.0},
        "latency_ms": 23.5, "answered_by": "replica", "decision": None, "batch_size": 4,
    }  # fmt: skip
    return usual | told


def columns_of(tiny_bundle, way, *records):
    made, known = empty(), known_of(Manifest.load(tiny_bundle))
    camera = cameras_of(scenario(bundle=tiny_bundle), 64, "here")[0]
    for each in records:
        add_record(made, way, camera, each, known, deadline_ms=100.0)
    return made


def test_a_record_becomes_a_row(tiny_bundle):
    late, failed = record(latency_ms=200.0), record(status="EXPIRED", batch_size=0)
    own = record(answered_by="local", decision={"choice": "point 1"})
    made = columns_of(tiny_bundle, "fixed:2", record(), late, failed, own)
    assert made["choice"] == ["point 2", "point 2", "point 2", "point 1"]
    assert made["missed"] == [False, True, True, False]
    assert made["latency_ms"] == [23.5, 200.0, None, 23.5]
    assert made["device_ms"] == [3.5] * 4
    assert made["by_device"] == [False, False, False, True]
    assert made["frame"] == [2] * 4
    assert made["accuracy"][2] is None
    assert len({len(column) for column in made.values()}) == 1


def test_a_picture_is_named_by_its_way(tiny_bundle):
    made = columns_of(tiny_bundle, "jpeg:60", record(point=None))
    assert made["choice"] == ["jpeg 60"]


def test_ways_that_no_device_knows_are_refused():
    assert edge_options("jpeg:60") == ["--upload", "jpeg:60"]
    with pytest.raises(ConfigError, match="oracle"):
        edge_options("oracle")


def test_a_crowd_is_for_simulated_time(tiny_bundle):
    with pytest.raises(ConfigError, match="at most 5"):
        cameras_of(scenario(bundle=tiny_bundle), 5, "in processes")


def test_containers_get_a_service_for_each_class(tmp_path):
    told = {
        "name": "mine", "seconds": 4, "deadline_ms": 900,
        "classes": {"camera": {"devices": 2, "fps": 2, "link": "lte", "cpu_share": 0.25}},
    }  # fmt: skip
    project = services_of(Scenario.model_validate(told), ["--point", "3"])
    assert "edge" not in project["services"]
    service = project["services"]["edge-camera"]
    assert service["cpus"] == 0.25
    command = service["command"]
    assert command[:6] == ["--links", "lte", "--fps", "2", "--frames", "8"]
    assert command[-2:] == ["--option=--point", "--option=3"]
    assert "--option=900" in command


def test_crops_are_photographs_of_many_sizes(tmp_path):
    pytest.importorskip("sklearn")
    from PIL import Image

    write_crops(tmp_path)
    sizes = {Image.open(path).size for path in tmp_path.iterdir()}
    assert len(sizes) > 10
