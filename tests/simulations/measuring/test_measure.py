"""`narrows measure` with a small network over a link: its parts add up, its folder holds it all."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the server extra")

from command_line import narrows
from energy_sensors import usb_frame, usb_meter
from PIL import Image

from narrows.simulations.demo.devices import LEAD_IN
from narrows.simulations.measuring.events import ALL_STAGES, SCHEMA

FRAMES, ROUNDS, LINK = 22, 2, "20mbit,2ms"
WAYS = [(LINK, "0"), (LINK, "jpeg:75"), ("none", "local")]


@pytest.fixture(scope="module")
def run(tiny_bundle, tmp_path_factory):
    """The JSON of one measurement: two devices, a point, a picture, the whole network."""
    root, rng = tmp_path_factory.mktemp("measure"), np.random.default_rng(0)
    for number in range(FRAMES):
        folder = root / "set" / ("cat", "dog", "bird")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 48, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    done = narrows(
        "measure", str(root / "set"), "--labels", "--bundle", str(tiny_bundle), "--choices",
        "0,jpeg:75,local", "--links", f"{LINK};", "--frames", str(FRAMES), "--rounds", str(ROUNDS),
        "--clients", "2", "--energy", "model:pi5", "--seed", "3", "--deadline-ms", "100000",
        "--runs", str(root / "runs"), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def events(run):
    return parquet.read_table(f"{run['run']}/events.parquet").to_pylist()


def of(events, row):
    return [e for e in events if (e["link"], e["choice"]) == (row["link"], row["choice"])]


def test_every_photograph_is_accounted_for_in_every_way(run, events):
    assert [(row["link"], row["choice"]) for row in run["rows"]] == WAYS
    for row in run["rows"]:
        mine = of(events, row)
        assert len(mine) == row["frames"] == FRAMES
        assert row["answered"] == FRAMES, row["errors"]
        assert row["lost"] == row["skipped"] == 0
        assert len({e["name"] for e in mine}) == FRAMES
        assert {(e["round"], e["device"]) for e in mine} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_stages_sum_to_the_latency_of_every_frame(run, events):
    for event in events:
        parts = [event[f"{stage}_ms"] for stage in ALL_STAGES]
        assert sum(p for p in parts if p is not None) == pytest.approx(event["latency_ms"])
    for row in run["rows"]:
        settled = [e for e in of(events, row) if e["settled"]]
        assert len(settled) == FRAMES - 2 * ROUNDS * LEAD_IN
        for share, quantile in (("p50", 50), ("p90", 90), ("p99", 99)):
            expected = np.percentile([e["latency_ms"] for e in settled], quantile)
            assert row["latency_ms"][share] == pytest.approx(expected, abs=1e-3)
    sent, whole = run["rows"][0]["latency_ms"]["stages"], run["rows"][2]["latency_ms"]["stages"]
    assert "network" not in sent
    assert set(whole) == {"preprocess", "network"}


def test_payload_and_framing_are_what_is_on_the_wire(run, events):
    for event in events:
        assert event["payload_bytes"] + event["framing_bytes"] == event["wire_bytes"]
    for row in run["rows"]:
        sent = row["bytes"]
        assert sent["payload"] + sent["framing"] == pytest.approx(sent["wire"])
    point, picture, local = (row["bytes"] for row in run["rows"])
    for over_link in (point, picture):
        assert 0 < over_link["payload"] < over_link["wire"] < over_link["link_up"]
        assert over_link["link_down"] > 0
    assert point["payload"] < picture["payload"]
    assert (local["wire"], local["link_up"]) == (0, None)


def test_energy_by_stage_is_the_frames_and_says_that_it_is_a_model(run):
    assert run["energy"]["is_model"]
    assert run["energy"]["source"] == "model:pi5"
    for row in run["rows"]:
        energy = row["energy"]
        assert sum(energy["stages"].values()) == pytest.approx(energy["joules_per_frame"])
        computed = energy["joules_per_frame"] - energy["stages"]["radio"]
        assert computed == pytest.approx(1.525 * row["device"]["cpu_ms_per_frame"] / 1e3)
        assert energy["machine_joules_per_frame"] > 0
    point, _, local = (row["energy"]["stages"] for row in run["rows"])
    assert point["radio"] > local["radio"] == 0
    assert point["head"] > 0
    assert local["network"] > 0


def test_accuracy_is_of_the_class_folders(run, events):
    for row in run["rows"]:
        mine = of(events, row)
        assert {e["truth"] for e in mine} == {"cat", "dog", "bird"}
        assert row["accuracy"] == pytest.approx(np.mean([e["answer"] == e["truth"] for e in mine]))


def test_the_server_spends_on_what_it_is_sent(run):
    point, picture, local = (row["server"] for row in run["rows"])
    assert point["cpu_ms_per_frame"] > 0
    assert picture["cpu_ms_per_frame"] > 0
    assert point["batch"] >= 1
    assert local["batch"] is None


def test_the_folder_holds_everything_and_the_page_needs_nothing_else(run):
    folder = Path(run["run"])
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "versions.json", "events.parquet", "result.json", "table.csv",
        "latency.png", "energy.png", "report.html",
    }  # fmt: skip
    assert json.loads((folder / "config.json").read_text())["seed"] == 3
    assert json.loads((folder / "versions.json").read_text())["machine"]["cores"] > 0
    assert json.loads((folder / "result.json").read_text()) == run
    assert parquet.read_schema(folder / "events.parquet").names == SCHEMA.names
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["link"], row["choice"]) for row in rows] == WAYS
    assert float(rows[0]["latency_p50_ms"]) == run["rows"][0]["latency_ms"]["p50"]
    page = (folder / "report.html").read_text()
    assert page.count("src='data:image/png;base64,") == 2
    assert "http" not in page
    assert "A model, not measured" in page
    assert Image.open(folder / "latency.png").width > 500


def test_a_meter_is_read_around_the_devices_work(run, tiny_bundle, tmp_path):
    """Of a steady 5 W nothing is above rest, and all is the machine's.

    Nothing but what the clock passes between reading the meter and reading the time.
    """
    pictures = json.loads((Path(run["run"]) / "config.json").read_text())["source"]
    with usb_meter(usb_frame(5000, 10_000, 5000)) as device:
        done = narrows(
            "measure", pictures, "--bundle", str(tiny_bundle), "--choices", "local", "--frames",
            "8", "--rounds", "1", "--energy", f"um25c:{device}", "--runs", str(tmp_path), "--json",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (row,) = result["rows"]
    assert result["energy"]["source"] == "um25c"
    assert not result["energy"]["is_model"]
    machine_j, frame_j = (row["energy"][f"{of}joules_per_frame"] for of in ("machine_", ""))
    assert machine_j > 0
    assert frame_j is None or frame_j == pytest.approx(0, abs=0.05 * machine_j)
    assert row["accuracy"] is None
