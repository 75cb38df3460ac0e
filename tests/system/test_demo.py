"""The demonstration and the evaluation over the wire, as a user runs them, on a tiny bundle."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the server extra")

from annotated import write_set
from bundles import write_tiny_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POINT_KEYS = {"id", "accuracy", "packet_bytes", "wire_bytes"}


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for index, folder in enumerate(["cat", "dog", "bird", "cat", "dog", "bird"]):
        (tmp_path / "set" / folder).mkdir(exist_ok=True, parents=True)
        pixels = rng.integers(0, 256, (40 + index, 51, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / folder / f"{index}.png")
    return tmp_path / "set"


def narrows(*arguments: str) -> dict:
    command = [sys.executable, "-m", "narrows", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_demo_answers_every_frame_and_writes_its_report(tiny_bundle, photographs, tmp_path):
    report = tmp_path / "report"
    shared = ("--bundle", str(tiny_bundle), "--data", str(photographs), "--report", str(report))
    found = narrows("demo", *shared, "--frames", "6", "--executor", "local", "--link", "8mbit,2ms")
    assert found["frames"] == 6
    assert len(found["points"]) == 3
    for row in [*found["points"], *found["uploads"].values()]:
        assert row["errors"] == row["lost"] == 0
        assert row["frames"] == 6
        latency = row["latency_ms"]
        assert latency["p99"] >= latency["p50"] > 4  # the link's delay, there and back
        assert {"head", "code", "send", "queue", "decode", "tail", "reply"} <= set(
            latency["stages"]
        )
    assert all(set(row) >= POINT_KEYS for row in found["points"])
    page = (report / "index.html").read_text()
    assert "http" not in page
    for picture in ("rate.png", "time.png", "photographs.png"):
        assert picture in page
        assert (report / picture).stat().st_size > 1000


def test_over_the_wire_the_bytes_and_answers_are_the_same(tiny_bundle, photographs):
    arguments = ("evaluate", str(tiny_bundle), "--data", str(photographs), "--points", "0,2")
    here, wired = narrows(*arguments), narrows(*arguments, "--wire")
    assert set(here) >= {"frames", "unsplit_accuracy", "points", "jpeg", "webp"}
    for local, sent in zip(here["points"], wired["points"], strict=True):
        assert set(local) >= POINT_KEYS
        assert sent["packet_bytes"] == pytest.approx(local["packet_bytes"])
        assert sent["accuracy"] == local["accuracy"]
        assert sent["errors"] == sent["lost"] == 0
        assert abs(sent["wire_bytes"] - local["wire_bytes"]) < 40


def test_the_multi_task_demonstration_draws_and_tells_what_answers_cost(tmp_path):
    root, scene, report = write_set(tmp_path / "set"), tmp_path / "scene", tmp_path / "report"
    tasks = {"detection": ("red", "green"), "segmentation": ("background", "red", "green")}
    write_tiny_bundle(scene, "tiny-scene", tasks=tasks)
    found = narrows(
        "demo", "--task", "all", "--bundle", str(scene), "--data", str(root), "--frames", "4",
        "--link", "none", "--executor", "local", "--replicas", "1", "--report", str(report),
    )  # fmt: skip
    assert found["errors"] == 0
    assert [len(row["tasks"]) for row in found["costs"]] == [1, 2, 3]
    assert len({row["packet_bytes"] for row in found["costs"]}) == 1  # one packet for all
    assert "answers.png" in (report / "index.html").read_text()
    assert Image.open(report / "answers.png").width == 3 * 360


def test_every_tasks_score_is_the_same_over_the_wire(tmp_path):
    root, scene = write_set(tmp_path / "set", size=(90, 47)), tmp_path / "scene"
    labels = ("background", "red", "green")
    tasks = {"detection": ("red", "green"), "segmentation": labels}
    write_tiny_bundle(scene, "tiny-scene", tasks=tasks)
    arguments = ("evaluate", str(scene), "--data", str(root))
    here, wired = narrows(*arguments), narrows(*arguments, "--wire")
    for local, sent in zip(here["points"], wired["points"], strict=True):
        assert sent["errors"] == sent["lost"] == 0
        assert sent["packet_bytes"] == pytest.approx(local["packet_bytes"])
        assert sent["scores"] == pytest.approx(local["scores"], abs=0.02)
