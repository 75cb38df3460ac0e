"""Measuring: what is reported is what really was coded."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")

from PIL import Image

from narrows.codec.manifest import Manifest, OperatingPoint
from narrows.edge.encoder import load_feature_encoder
from narrows.images.labelled import LabelledImages
from narrows.simulations.demo import figures as fig
from narrows.simulations.demo.devices import Fleet
from narrows.simulations.evaluation import evaluate


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for index, folder in enumerate(["cat", "dog", "cat", "bird"]):
        (tmp_path / folder).mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (33 + 9 * index, 51, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / f"{index}.png")
    (tmp_path / "dog" / "broken.jpg").write_bytes(b"no picture")
    return tmp_path


def test_packet_bytes_are_the_devices_own_packets(tiny_bundle, photographs):
    images = LabelledImages(photographs)
    found = evaluate(tiny_bundle, images, images.entries, points=[2, 0], qualities=(30,))
    assert (found["frames"], found["skipped"]) == (4, 1)
    assert [p["id"] for p in found["points"]] == [2, 0]
    encoder = load_feature_encoder(tiny_bundle, Manifest.load(tiny_bundle))
    readable = [images.image(e.name) for e in images if "broken" not in e.name]
    for row in found["points"]:
        sizes = [len(encoder.encode(picture, row["id"]).data) for picture in readable]
        assert row["packet_bytes"] == pytest.approx(np.mean(sizes))
        assert row["packet_bytes"] < row["wire_bytes"] < row["packet_bytes"] + 60
        assert 0 <= row["accuracy"] <= 1
    assert {"quality", "accuracy", "bytes"} <= set(found["jpeg"][0])


def test_without_known_labels_agreement_stands_alone(tiny_bundle, photographs):
    for folder in ("cat", "dog", "bird"):
        (photographs / folder).rename(photographs / f"not-{folder}")
    images = LabelledImages(photographs)
    found = evaluate(tiny_bundle, images, images.entries, qualities=(90,))
    assert found["unsplit_accuracy"] is None
    assert all(p["accuracy"] is None and 0 <= p["agreement"] <= 1 for p in found["points"])


def record(name: str, answer: str, frame_id: int, status: str = "OK") -> dict:
    return {
        "name": name,
        "labels": [{"name": answer}],
        "frame_id": frame_id,
        "status": status,
        "packet_bytes": 100,
        "wire_bytes": 140,
        "timing_ms": {"head": 2.0, "send": float(frame_id)},
    }


def test_figures_count_errors_and_lost_frames():
    records = [record("a", "cat", 4), record("b", "dog", 5), record("c", "cat", 6, "MALFORMED")]
    fleet = Fleet(records, photographs=4)
    found = fig.fleet_figures(fleet, {"a": "cat", "b": "cat"}, {"a": "cat", "b": "dog"})
    assert (found["accuracy"], found["agreement"]) == (0.5, 1.0)
    assert (found["errors"], found["lost"], found["framing_bytes"]) == (1, 1, 40)
    assert found["latency_ms"]["p50"] == 6.5
    assert found["latency_ms"]["stages"]["head"]["p50"] == 2.0


def test_the_recommended_point_is_the_cheapest_near_the_unsplit_network():
    figures = ((900, 0.90, 0.50), (500, 0.88, 0.49), (200, 0.80, 0.48))
    points = [
        OperatingPoint(id=i, packet_bytes=b, accuracy=a, scores={"segmentation": m})
        for i, (b, a, m) in enumerate(figures)
    ]
    assert fig.recommended(points, {"classification": 0.9, "segmentation": 0.51}) == 1
    assert fig.recommended(points, {"segmentation": 0.51}) == 2
    assert fig.recommended(points, {"classification": 0.99}) == 0
    curve = [{"quality": q, "accuracy": a} for q, a in ((10, 0.7), (30, 0.9), (50, 0.85))]
    assert fig.equal_quality(curve, 0.8, "accuracy") == 30
    assert fig.equal_quality(curve, 0.95, "accuracy") == 30
