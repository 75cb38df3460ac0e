"""`narrows simulate`: the folder it leaves, the figures it tells, and a run in processes."""

import json

import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the server extra")

from machine_times import service_times
from PIL import Image
from typer.testing import CliRunner

from narrows.cli import app
from narrows.errors import ConfigError
from narrows.simulations.run_folder import EVENTS

TEXT = """
name = "mine"
bundle = "{bundle}"
seconds = {seconds}
deadline_ms = {deadline_ms}
ways = ["fixed:0", "fixed:2"]
[classes.camera]
devices = 2
fps = 2
link = "2mbit,5ms"
active_watts = 2.0
radio_joules_per_mb = 4.0
[[faults]]
kind = "link"
at_s = 1
for_s = 0.5
"""


def simulate(tmp_path, bundle, *arguments: str, seconds: int = 6, deadline_ms: int = 5000):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.format(bundle=bundle, seconds=seconds, deadline_ms=deadline_ms))
    told = ["simulate", str(path), "--runs", str(tmp_path / "runs"), "--json", *arguments]
    return CliRunner().invoke(app, told)


def in_time(tmp_path, bundle, seed: int):
    service_times().save(tmp_path / "times.json")
    service = str(tmp_path / "times.json")
    done = simulate(tmp_path, bundle, "--service", service, "--seed", str(seed))
    assert done.exception is None
    return json.loads(done.stdout)


def test_a_run_leaves_everything_it_was_made_of(tmp_path, tiny_bundle):
    result = in_time(tmp_path, tiny_bundle, seed=4)
    (folder,) = (tmp_path / "runs").iterdir()
    assert result["run"] == str(folder)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "versions.json", "events.parquet", "result.json", "report.html",
        "frames.png",
    }  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert config["seed"] == 4
    assert config["scenario"]["classes"]["camera"]["devices"] == 2
    assert config["service"]["machine"] == {"cpu": "made up"}
    assert json.loads((folder / "versions.json").read_text())["simpy"]
    events = parquet.read_table(folder / "events.parquet")
    assert events.schema.names == EVENTS.names
    ways = events.column("way").to_pylist()
    assert ways.count("fixed:0") == result["frames"] == result["answered"]
    assert Image.open(folder / "frames.png").size[0] > 500


def test_the_figures_are_those_of_the_events(tmp_path, tiny_bundle):
    result = in_time(tmp_path, tiny_bundle, seed=1)
    events = parquet.read_table(result["run"] + "/events.parquet").to_pydict()
    first = [
        ms for ms, way in zip(events["latency_ms"], events["way"], strict=True) if way == "fixed:0"
    ]
    assert result["fixed"]["p50_ms"] == pytest.approx(sorted(first)[len(first) // 2], rel=0.1)
    assert result["policy"] is None
    assert result["oracle"] is None
    assert result["devices"] == 2
    joules = 2.0 * 0.002 + 4.0 * 190e-6  # two watts for a 2 ms head; 150 bytes and framing
    assert result["fixed"]["joules_per_frame"] == pytest.approx(joules, rel=0.01)
    assert "modelled" in result["fixed"]["energy_source"]


def test_seeds_repeat(tmp_path, tiny_bundle):
    one, same, other = (in_time(tmp_path, tiny_bundle, seed) for seed in (7, 7, 8))
    assert one["fixed"] == same["fixed"]
    assert one["fixed"] != other["fixed"]
    assert one["run"] != same["run"]


def test_a_point_that_the_bundle_lacks_is_told(tmp_path, tiny_bundle):
    path = tmp_path / "mine.toml"
    text = TEXT.format(bundle=tiny_bundle, seconds=5, deadline_ms=5000)
    path.write_text(text.replace("fixed:2", "fixed:9"))
    done = CliRunner().invoke(app, ["simulate", str(path), "--runs", str(tmp_path / "runs")])
    assert isinstance(done.exception, ConfigError)
    assert "way 'fixed:9': tiny has the operating points 0, 1, 2" in str(done.exception)


def test_what_ships_is_listed():
    done = CliRunner().invoke(app, ["simulate"])
    assert done.exit_code == 0
    assert "street" in done.stdout


@pytest.mark.slow
def test_the_same_scenario_in_processes(tmp_path, tiny_bundle):
    for label in ("cat", "dog"):
        for number in range(3):
            path = tmp_path / "photographs" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (48, 40), (40 * number, 90, 120)).save(path)
    photographs = str(tmp_path / "photographs")
    arguments = ["--in", "processes", "--data", photographs]
    done = simulate(tmp_path, tiny_bundle, *arguments, seconds=3, deadline_ms=20_000)
    assert done.exception is None
    result = json.loads(done.stdout)
    assert result["ran"] == "in processes"
    assert result["frames"] == 2 * 2 * 3
    assert result["ways"]["fixed:2"]["frames"] == 2 * 2 * 3
    assert result["answered"] > 0
    assert result["fixed"]["accuracy"] is not None
    events = parquet.read_table(result["run"] + "/events.parquet")
    assert events.schema.names == EVENTS.names
