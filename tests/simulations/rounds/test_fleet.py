"""A fleet of cameras: what they see is worn, and what rounds do is measured on three sets."""

import json

import numpy as np
import pytest

pytest.importorskip("flwr", reason="needs the federated extra")
pytest.importorskip("torch", reason="needs the server extra")

from rounds_bundle import write_learning_bundle, write_photographs, write_rounds_recipe

from narrows.images.labelled import LabelledImages
from narrows.simulations.rounds.cameras import CONDITIONS, make_cameras
from narrows.simulations.rounds.fleet import PARTS, Asked, run_fleet_bench


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("set")
    write_photographs(folder / "train", 120)
    write_photographs(folder / "val", 30, seed=1)
    return folder


def test_cameras_have_their_own_photographs_and_wear(photographs, tmp_path):
    images = LabelledImages(photographs)
    cameras = make_cameras(images, tmp_path, 2, 10, 5, 0.5, seed=0)
    assert len(cameras) == 2 * len(CONDITIONS)
    seen = [path.name for camera in cameras for path in (camera / "train").rglob("*.png")]
    assert len(seen) == len(set(seen)) == 100  # nobody has another's
    for camera in cameras:
        own = LabelledImages(camera)
        assert len(own.of_part("val")) == 5
        folders = {entry.folder for entry in own.of_part("train")}
        assert {entry.folder for entry in own.of_part("val")} <= folders
        entry = own.of_part("val")[0]
        worn = np.asarray(own.image(entry.name), float)
        before = np.asarray(images.image(f"val/{entry.folder}/{entry.name.split('/')[-1]}"), float)
        assert (np.abs(worn - before).mean() < 1) == camera.name.endswith("clear")


def test_rounds_are_measured_on_own_others_and_clear_photographs(photographs, tmp_path, capsys):
    write_learning_bundle(tmp_path / "old")
    recipe = write_rounds_recipe(tmp_path / "recipe.toml")
    asked = Asked(
        tmp_path / "old", photographs, tmp_path, 2, 8, 4, 0.5, 1, 1.0, str(recipe), 0
    )  # fmt: skip
    run_fleet_bench(asked, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["cameras"] == len(CONDITIONS)
    for part in PARTS:
        assert len(found["before"][part]["bytes"]) == len(found["after"][part]["accuracy"]) == 3
        assert found["before"][part]["photographs"] == found["after"][part]["photographs"]
        assert all(ratio is None or ratio > 0 for ratio in found["ratio"][part].values())
    assert found["bytes_up"] > 0
