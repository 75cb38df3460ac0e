"""The bundle in the repository: whole, small, and as good as its manifest says."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.codec.manifest import Manifest
from narrows.edge.encoder import load_feature_encoder
from narrows.images.labelled import LabelledImages
from narrows.models.bundle import load_tail
from narrows.simulations.evaluation import evaluate, evenly

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models" / "zoo" / "classify"
PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "imagenette224.tar"


def test_it_holds_together_and_fits_12_mebibytes():
    manifest = Manifest.load(BUNDLE)
    manifest.verify_files(BUNDLE)
    load_feature_encoder(BUNDLE, manifest)
    load_tail(BUNDLE)
    assert sum(p.stat().st_size for p in BUNDLE.iterdir()) <= 12 << 20
    assert len(manifest.operating_points) >= 4
    assert manifest.provenance["seed"] == 0


def test_finer_points_cost_more_bytes():
    sizes = [p.packet_bytes for p in Manifest.load(BUNDLE).operating_points]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="the photographs are not beside this checkout")
def test_a_sample_of_held_out_photographs_scores_as_the_manifest_says():
    images = LabelledImages(PHOTOGRAPHS)
    found = evaluate(BUNDLE, images, evenly(images.of_part("val"), 100), qualities=(50,))
    manifest = Manifest.load(BUNDLE)
    assert found["unsplit_accuracy"] == pytest.approx(manifest.unsplit_accuracy, abs=0.08)
    for point, measured in zip(manifest.operating_points, found["points"], strict=True):
        assert measured["accuracy"] == pytest.approx(point.accuracy, abs=0.08)
        assert measured["packet_bytes"] == pytest.approx(point.packet_bytes, rel=0.15)
