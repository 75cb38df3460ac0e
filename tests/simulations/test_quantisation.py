"""`narrows bundle quantise`: an int8 head made, measured and written into the manifest."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.codec.manifest import INT8_HEAD, Manifest
from narrows.codec.signature import sign_bundle
from narrows.simulations.quantisation import run_quantisation


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("val", 3)):
        for label in ("cat", "dog"):
            folder = tmp_path / "set" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "set"


def test_quantising_measures_both_heads_and_stamps_the_manifest(
    tiny_bundle: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    sign_bundle(bundle, tmp_path / "key.pem")
    before = Manifest.load(bundle)
    run_quantisation(bundle, photographs, None, 6, True)
    found = json.loads(capsys.readouterr().out)
    assert found["calibrated_on"] == 6
    assert found["fp32"]["frames"] == found["int8"]["frames"] == 6
    after = Manifest.load(bundle)
    after.verify_files(bundle)
    assert after.files[INT8_HEAD] != before.files[INT8_HEAD]
    assert after.digest != before.digest
    assert after.measured_on == "set: 6 photographs kept out of training"
    assert [p.accuracy for p in after.operating_points] == [
        row["accuracy"] for row in found["int8"]["points"]
    ]
    assert after.provenance["int8_calibration"] == {"data": "set", "photographs": 6}
    assert not (bundle / "manifest.sig").exists()  # it was over the old one


def test_people_get_a_table(
    tiny_bundle: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    run_quantisation(bundle, photographs, "train", 4, False)
    assert "int8 bytes" in capsys.readouterr().out
