"""A board's own figures, as they go home."""

import json

import pytest
from command_line import narrows
from PIL import Image

from narrows.codec.manifest import Manifest


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        colour = (80 * number, 40, 0)
        Image.new("RGB", (48 + number, 40), colour).save(folder / f"{number}.png")
    return folder


def test_every_point_has_its_stages_and_a_model_says_so(tiny_bundle, photographs):
    told = ("device", "bench", str(tiny_bundle), str(photographs), "--frames", "10")
    done = narrows(*told, "--energy", "model:pi5", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    manifest = Manifest.load(tiny_bundle)
    assert [p["id"] for p in found["points"]] == [p.id for p in manifest.operating_points]
    for point in found["points"]:
        assert point["bytes"] > 0
        assert set(point["ms"]) == {"preprocess", "head", "code", "all"}
        for ms in point["ms"].values():
            assert 0 <= ms["p50"] <= ms["p90"] <= ms["p99"]
        assert point["joules_per_frame"] >= 0
    assert found["energy"]["is_model"]
    assert found["bundle"] == manifest.digest
    shown = narrows(*told, "--energy", "model:pi5")
    assert "a model" in shown.stdout


def test_an_empty_folder_is_told(tiny_bundle, tmp_path):
    done = narrows("device", "bench", str(tiny_bundle), str(tmp_path))
    assert done.returncode == 2
    assert "found none" in done.stderr
