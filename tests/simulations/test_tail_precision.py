"""`narrows bundle measure-tail`: every point in both precisions, written into the manifest."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the server extra")

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.simulations.tail_precision import run_tail_precision


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        folder = tmp_path / "set" / "val" / label
        folder.mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "set"


def test_scores_by_precision_go_into_the_manifest(tiny_bundle, photographs, tmp_path, capsys):
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    run_tail_precision(bundle, [photographs], None, None, True)
    found, manifest = json.loads(capsys.readouterr().out), Manifest.load(bundle)
    assert found["photographs"] == 6
    assert [p.tail_scores for p in manifest.operating_points] == found["points"]
    assert all(set(p) == {"fp32", "bf16"} for p in found["points"])
    assert list(manifest.tail_precisions) == found["allowed"]
    assert manifest.provenance["tail_scores"] == {"data": "set", "photographs": 6}


def test_people_get_a_table(tiny_bundle, photographs, tmp_path, capsys):
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    run_tail_precision(bundle, [photographs], None, 2, False)
    assert "accurate enough: fp32" in capsys.readouterr().out


def test_sets_of_class_folders_are_measured_one_at_a_time(tiny_bundle, photographs):
    with pytest.raises(ConfigError, match="one set of class folders"):
        run_tail_precision(tiny_bundle, [photographs, photographs], None, None, True)
