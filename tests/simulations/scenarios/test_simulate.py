"""`narrows simulate`: the folder it leaves and the figures it tells."""

import json

import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the server extra")

from machine_times import service_times
from PIL import Image
from typer.testing import CliRunner

from narrows.cli import app
from narrows.codec.manifest import Manifest
from narrows.edge.policy.menu import menu_of
from narrows.errors import ConfigError
from narrows.simulations.run_folder import EVENTS

TEXT = """
name = "mine"
bundle = "{bundle}"
seconds = 6
deadline_ms = 5000
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


def simulate(tmp_path, bundle, *arguments: str):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.format(bundle=bundle))
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
    sent_mb = menu_of(Manifest.load(tiny_bundle))[0].wire_bytes / 1e6
    joules = 2.0 * 0.002 + 4.0 * sent_mb  # two watts for a 2 ms head
    assert result["fixed"]["joules_per_frame"] == pytest.approx(joules, rel=0.01)
    assert "modelled" in result["fixed"]["energy_source"]


def test_seeds_repeat(tmp_path, tiny_bundle):
    one, same, other = (in_time(tmp_path, tiny_bundle, seed) for seed in (7, 7, 8))
    assert one["fixed"] == same["fixed"]
    assert one["fixed"] != other["fixed"]
    assert one["run"] != same["run"]


def test_a_point_that_the_bundle_lacks_is_told(tmp_path, tiny_bundle):
    path = tmp_path / "mine.toml"
    text = TEXT.format(bundle=tiny_bundle)
    path.write_text(text.replace("fixed:2", "fixed:9"))
    done = CliRunner().invoke(app, ["simulate", str(path), "--runs", str(tmp_path / "runs")])
    assert isinstance(done.exception, ConfigError)
    assert "way 'fixed:9': tiny has the operating points 0, 1, 2" in str(done.exception)


def test_what_ships_is_listed():
    done = CliRunner().invoke(app, ["simulate"])
    assert done.exit_code == 0
    assert "street" in done.stdout
