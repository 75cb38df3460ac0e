"""`narrows bench offload`: the counterpart of a point, ratios, and the command itself."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")

from hypothesis import given
from hypothesis import strategies as st
from machine_times import service_times
from PIL import Image
from simulated import KNOWN, OWN, WHOLE
from typer.testing import CliRunner

from narrows.cli import app
from narrows.edge.policy.menu import Choice
from narrows.errors import ConfigError
from narrows.simulations.events.ways import Known
from narrows.simulations.offload import bench
from narrows.simulations.offload.equal import compared, counterparts
from narrows.simulations.offload.report import print_tables, verdicts
from narrows.simulations.scenarios.scenario import load_scenario

ACCURACIES = st.lists(st.integers(0, 10).map(lambda n: n / 10), min_size=1, max_size=6)


def known(points, pictures) -> Known:
    """Points and pictures with these accuracies, each of more bytes than the one before."""
    menu = [Choice("packet", i, 100.0 + i, a) for i, a in enumerate(points)]
    menu += [Choice("image", 10 + i, 1000.0 + i, a) for i, a in enumerate(pictures)]
    return Known("made", (*menu, OWN), WHOLE, frozenset((c.kind, c.level) for c in menu))


@given(points=ACCURACIES, pictures=ACCURACIES)
def test_a_counterpart_is_the_smallest_picture_that_is_as_accurate(points, pictures):
    for level, found in counterparts(known(points, pictures)).items():
        enough = [i for i, accuracy in enumerate(pictures) if accuracy >= points[level]]
        assert (found is None) == (not enough)
        if found is not None:
            assert found.level == 10 + enough[0]


def test_ratios_are_of_medians_and_a_picture_that_never_comes_is_at_least_the_deadline():
    ways = {
        "fixed:0": {"p50_ms": 100.0, "p95_ms": 200.0}, "fixed:1": {"p50_ms": 50.0, "p95_ms": 60.0},
        "jpeg:10": {"p50_ms": 900.0, "p95_ms": None}, "jpeg:11": {"p50_ms": None, "p95_ms": None},
    }  # fmt: skip
    first, second, third = compared(known([0.5, 0.7, 0.9], [0.5, 0.8]), ways, 5000.0)
    assert (first["jpeg"], first["ratio"], first["at_least"]) == (10, 9.0, False)
    assert (first["ratio_p95"], first["at_least_p95"]) == (25.0, True)
    assert (second["jpeg"], second["ratio"], second["at_least"]) == (11, 100.0, True)
    assert (third["jpeg"], third["ratio"]) == (None, None)


def test_on_a_thin_line_for_all_pictures_wait_for_each_other():
    """Thirty clients on 37.5 kbit/s: small packets pass, pictures of 6 kB do not."""
    told = load_scenario("lora")
    alone, shared = (
        bench.simulated(told, setup, told.bundle, KNOWN, service_times(), seed=0)
        for setup in (bench.Setup(1, False), bench.Setup(30, True))
    )
    (name,) = {row["jpeg"] for row in alone["equal_accuracy"]}
    assert alone["ways"][f"jpeg:{name}"]["missed_deadline"] == 0
    assert shared["ways"][f"jpeg:{name}"]["p50_ms"] is None
    assert shared["ways"]["fixed:1"]["missed_deadline"] < 0.05 * shared["ways"]["fixed:1"]["frames"]
    assert shared["ways"]["local"]["p50_ms"] == alone["ways"]["local"]["p50_ms"] == 100.0
    assert all(row["at_least"] for row in shared["equal_accuracy"] if row["ratio"])
    assert any("points are 10 times faster" in line for line in verdicts({"rows": [shared]}))


def test_the_command(tmp_path, tiny_bundle, capsys):
    rng = np.random.default_rng(0)
    for index, folder in enumerate(["cat", "dog", "cat", "bird"]):
        (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 51, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / folder / f"{index}.png")
    service_times().save(tmp_path / "times.json")
    arguments = [
        "bench", "offload", "--data", str(tmp_path / "set"), "--bundle", str(tiny_bundle),
        "--links", "wifi,lora", "--clients", "1,2", "--service", str(tmp_path / "times.json"),
        "--json", "--plot", str(tmp_path / "offload.png"),
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "FRAMES", 20)
        patch.setattr(bench, "LEAST_S", 10.0)
        done = CliRunner().invoke(app, arguments)
    assert done.exception is None
    found = json.loads(done.stdout)
    assert found["photographs"] == 4
    setups = [(row["link"], row["clients"], row["shared"]) for row in found["rows"]]
    assert setups == [
        (link, *setup)
        for link in ("wifi", "lora")
        for setup in ((1, False), (2, False), (2, True))
    ]  # fmt: skip
    for row in found["rows"]:
        assert {"local", "policy", "fixed:0", "jpeg:30"} <= set(row["ways"])
        assert {part["energy_source"] for part in row["ways"].values()} == {
            "modelled: the scenario's watts and joules"
        }
        assert [each["point"] for each in row["equal_accuracy"]] == [0, 1, 2]
    assert Image.open(tmp_path / "offload.png").size[0] > 500
    print_tables(found)
    shown = capsys.readouterr().out
    assert "lora, 2 clients on one line" in shown
    assert all(name in shown for name in ("alone", "JPEG 30", "point 2", "policy"))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--links", "street", "street: a scenario of 2 classes of devices: expected one"),
        ("--links", "nowhere", "no scenario 'nowhere'"),
        ("--clients", "0", "expected numbers of devices"),
        ("--clients", "many", "expected numbers of devices"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, option, value, message):
    done = CliRunner().invoke(app, ["bench", "offload", "--data", str(tmp_path), option, value])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)


def test_ways_hold_every_point_against_its_pictures():
    ways = bench.ways_of(replace(KNOWN))
    assert set(ways) == {"local", "jpeg:50", "fixed:0", "fixed:1", "policy"}
