"""`narrows simulate`: the folder it leaves and the figures it tells."""

import json
import shutil

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the server extra")

from machine_times import service_times
from PIL import Image
from simulated import frames_of, scenario
from typer.testing import CliRunner

from narrows.cli import app
from narrows.codec.manifest import Manifest
from narrows.edge.policy.menu import menu_of
from narrows.errors import ConfigError
from narrows.images.labelled import LabelledImages
from narrows.simulations.evaluation import evaluate
from narrows.simulations.events.ways import known_of
from narrows.simulations.run_folder import EVENTS
from narrows.simulations.scenarios.figures import columns_of, result_of

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


@pytest.fixture
def photographs(tmp_path):
    """Six of the tiny bundle's classes."""
    rng = np.random.default_rng(0)
    for index, folder in enumerate(["cat", "dog", "cat", "dog", "cat", "bird"]):
        (tmp_path / "photographs" / folder).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 51, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photographs" / folder / f"{index}.png")
    return tmp_path / "photographs"


def test_pictures_are_sent_as_they_were_measured_on_photographs(tmp_path, tiny_bundle, photographs):
    service_times().save(tmp_path / "times.json")
    told = tmp_path / "mine.toml"
    ways = '["jpeg:20", "local", "policy", "fixed:0"]'
    text = TEXT.format(bundle=tiny_bundle).replace('["fixed:0", "fixed:2"]', ways)
    told.write_text(text.replace("2mbit,5ms", "lora"))
    arguments = [
        "simulate", str(told), "--runs", str(tmp_path / "runs"), "--json",
        "--service", str(tmp_path / "times.json"),
    ]  # fmt: skip
    unmeasured = CliRunner().invoke(app, arguments)
    assert "of tiny pictures of quality none were measured" in str(unmeasured.exception)
    done = CliRunner().invoke(app, [*arguments, "--data", str(photographs)])
    assert done.exception is None
    parts = json.loads(done.stdout)["ways"]
    images = LabelledImages(photographs)
    found = evaluate(tiny_bundle, images, images.entries, qualities=(20,), codecs=("jpeg",))
    sent = parts["jpeg:20"]
    assert sent["bytes_per_frame"] == pytest.approx(found["jpeg"][0]["wire_bytes"], abs=0.5)
    assert sent["accuracy"] == pytest.approx(found["jpeg"][0]["accuracy"])
    assert parts["local"]["bytes_per_frame"] == 0
    assert parts["local"]["by_device"] == parts["local"]["frames"]
    assert parts["local"]["accuracy"] == pytest.approx(found["unsplit_accuracy"])
    assert parts["policy"]["frames"] == sum(
        round(share * parts["policy"]["frames"]) for share in parts["policy"]["chosen"].values()
    )
    assert json.loads(done.stdout)["policy"] == parts["policy"]


def test_an_accuracy_that_nobody_measured_is_not_made_up(tmp_path, tiny_bundle):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    manifest = Manifest.load(bundle).as_dict()
    for point in manifest["operating_points"]:
        point.pop("accuracy", None)
    known = known_of(msgspec.convert(manifest, Manifest))
    frames = frames_of(scenario(), known=known)
    told = scenario()
    columns = columns_of("fixed:0", frames, told.deadline_ms, known)
    (part,) = result_of(told, columns)["ways"].values()
    assert part["answered"] == len(frames) > 0
    assert (part["accuracy"], part["in_time_accuracy"]) == (None, None)
    assert part["accuracy_source"] == "of some answers' choices it was not measured: point 0"


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
