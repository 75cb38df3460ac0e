"""A filter that keeps empty frames on the device: fitted, measured, off unless asked for."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")

from annotated import write_set
from PIL import Image

from narrows.codec.manifest import FILTER, Manifest
from narrows.edge.encoder import load_feature_encoder
from narrows.edge.filter import PresenceFilter, pooled
from narrows.errors import BundleError, ConfigError
from narrows.simulations.presence import run_filter


@pytest.fixture(scope="module")
def bundle(tiny_bundle, tmp_path_factory):
    root = tmp_path_factory.mktemp("filter")
    folder = shutil.copytree(tiny_bundle, root / "bundle")
    write_set(root / "set", count=60, size=(120, 90))
    run_filter(folder, [root / "set"], 0.05, None, False)
    return folder


def test_it_drops_what_is_empty_and_says_what_it_misses(bundle, capsys):
    figures = Manifest.load(bundle).provenance["filter"]
    assert figures["miss_rate"] < 0.4
    assert figures["drop_rate"] > 0.6
    Manifest.load(bundle).verify_files(bundle)
    encoder = load_feature_encoder(bundle, Manifest.load(bundle), presence=True)
    rng = np.random.default_rng(0)
    kinds = []
    for square in (False, True):
        pixels = rng.integers(0, 60, (90, 120, 3)).astype(np.uint8)
        if square:
            pixels[10:80, 20:100, 0] = 255
        kinds.append(encoder.encode(Image.fromarray(pixels), 0).kind)
    assert kinds == ["nothing", "packet"]


def test_it_is_off_unless_asked_for(bundle):
    encoder = load_feature_encoder(bundle, Manifest.load(bundle))
    assert encoder.encode(Image.new("RGB", (120, 90)), 0).kind == "packet"


def test_a_bundle_without_one_says_how_to_make_it(tiny_bundle):
    with pytest.raises(ConfigError, match="narrows bundle filter"):
        load_feature_encoder(tiny_bundle, Manifest.load(tiny_bundle), presence=True)


def test_a_damaged_filter_is_refused(bundle, tmp_path):
    path = tmp_path / FILTER
    with pytest.raises(BundleError, match="not a filter"):
        PresenceFilter.load(path, 6)
    path.write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="not a filter"):
        PresenceFilter.load(path, 6)
    shutil.copy(bundle / FILTER, path)
    with pytest.raises(BundleError, match=r"expected \(14,\)"):
        PresenceFilter.load(path, 7)


def test_scores_are_a_logistic_regression_of_means_and_maxima():
    latent = np.random.default_rng(0).normal(0, 1, (3, 4, 5)).astype(np.float32)
    weight = np.arange(6, dtype=np.float32)
    found = PresenceFilter(weight, 0.5, 0.9)
    features = pooled(latent)
    assert np.allclose(features[:3], latent.reshape(3, -1).mean(1))
    assert np.allclose(features[3:], latent.reshape(3, -1).max(1))
    assert found.score(latent) == pytest.approx(1 / (1 + np.exp(-(weight @ features + 0.5))))
    assert found.passes(latent) == (found.score(latent) >= 0.9)


def test_dropped_frames_are_counted_apart(bundle, tmp_path):
    from narrows.edge.outcome import NOTHING, OK, Outcome
    from narrows.edge.record import FrameRecord, Tally

    tally = Tally(captured=3)
    for status in (OK, NOTHING, "DEADLINE"):
        tally.add(FrameRecord("x", None, None, 0, Outcome(1, status), {}))
    summary = tally.summary()
    assert (summary["answered"], summary["nothing"], summary["failed"]) == (1, 1, 1)
    assert summary["lost"] == 0
    assert summary["errors"] == {"DEADLINE": 1}
    assert json.dumps(summary)
