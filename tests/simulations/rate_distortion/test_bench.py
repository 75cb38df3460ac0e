"""`narrows bench rd` as a user runs it, on a few noisy pictures and an untrained bundle."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("compressai", reason="GDN needs the train extra")

from bundles import LABELS, write_tiny_bundle
from PIL import Image

METHODS = (
    "ours,entropic_student,entropic_student_hyperprior,slimmable,frankensplit,jpeg,device_only"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rd")
    rng = np.random.default_rng(0)
    for label in LABELS:
        for part, count in (("train", 8), ("val", 3)):
            folder = root / "set" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                picture = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
                Image.fromarray(picture).save(folder / f"{i}.png")
    write_tiny_bundle(root / "bundle")
    return root


def bench(place: Path, *more: str) -> subprocess.CompletedProcess:
    given = ["bench", "rd", "--data", "set", "--unsplit", "bundle", "--run", "run", *more]
    command = [sys.executable, "-m", "narrows", *given]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_kind_of_method_is_measured_by_one_accounting_and_resumes(place, tmp_path):
    asked = ("--methods", METHODS, "--quick", "--json", "--csv", str(tmp_path / "rd.csv"))
    done = bench(place, *asked, "--plot", str(tmp_path / "rd.png"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found["methods"]) == METHODS.split(",")
    assert found["frames"] == 9
    for rows in found["methods"].values():
        for row in rows:
            assert row["bytes"] >= 1
            assert 0 <= row["accuracy"] <= 1
            assert row["device_ms"] > 0
    sizes = [row["bytes"] for row in found["methods"]["slimmable"]]
    header = 8  # the latent's range
    assert sizes[0] - header == pytest.approx(4 * (sizes[-1] - header))  # four bits against one
    assert (tmp_path / "rd.png").exists()
    before = {p: p.stat().st_mtime_ns for p in place.rglob("measured-*.npz")}
    again = json.loads(bench(place, *asked).stdout.splitlines()[-1])
    assert {p: p.stat().st_mtime_ns for p in place.rglob("measured-*.npz")} == before
    for method, rows in found["methods"].items():
        for one, other in zip(rows, again["methods"][method], strict=True):
            assert (one["accuracy"], one["bytes"]) == (other["accuracy"], other["bytes"])


def test_our_bundle_needs_no_training(place):
    done = bench(place, "--methods", "ours,jpeg", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["methods"]["ours"]) == 3
    assert set(found["bytes_ratio_at"]) == {"-1", "-3"}


def test_an_unknown_method_is_told_before_anything_is_trained(place):
    done = bench(place, "--methods", "ours,nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_a_learned_picture_codec_is_measured_by_its_strings(place):
    from narrows.models.bundle import load_tail
    from narrows.simulations.rate_distortion.learned_codecs import LearnedCodecSubject

    tail = load_tail(place / "bundle")
    subject = LearnedCodecSubject("bmshj2018_factorized", tail, pretrained=False)
    picture = np.random.default_rng(0).integers(0, 256, (40, 72, 3), dtype=np.uint8)
    sent = [subject.encode(p, 0) for p in (picture, picture[::-1].copy())]
    assert min(map(len, sent)) > 12  # a string's header and something in it
    assert subject.answer(sent, 0).shape == (2, len(LABELS))
