"""Several answers from one packet, through a real replica and a real session."""

import asyncio
import io

import grpc
import numpy as np
import pytest
from bundles import TASKS, write_tiny_scene
from PIL import Image

from narrows.codec import bitstream
from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.encoder import ImageEncoder, load_feature_encoder
from narrows.edge.link import LinkSettings
from narrows.edge.outcome import Outcome
from narrows.edge.session import Session
from narrows.models.bundle import load_tail
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings

ALL = ("classification", *TASKS)
SIZES = [(32, 32), (47, 90), (301, 40), (1, 1), (64, 33)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    write_tiny_scene(folder)
    return folder


def photographs() -> list[Image.Image]:
    """Odd sizes, portraits, a single pixel, and one stored on its side."""
    rng = np.random.default_rng(0)
    found = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SIZES]
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    found[1].save(file, "png", exif=exif)
    return [*found, Image.open(file)]


def asked(scene, encoder, tasks=()) -> list[Outcome]:
    """What a replica answers to every photograph."""

    async def whole() -> list[Outcome]:
        replica = await Replica.start(ServerSettings((scene,), threads=1))
        address = f"127.0.0.1:{replica.port}"
        try:
            async with Session(address, LinkSettings(), "tiny-scene", tasks) as session:
                return [await session.ask(encoder.encode(p, 0)) for p in photographs()]
        finally:
            await replica.drain()

    return asyncio.run(asyncio.wait_for(whole(), 200))


@pytest.mark.parametrize("upload", [False, True], ids=["packet", "upload"])
def test_places_come_back_in_the_photographs_own_pixels(scene, upload):
    manifest = Manifest.load(scene)
    encoder = (
        ImageEncoder(manifest.input, "jpeg", 90)
        if upload
        else load_feature_encoder(scene, manifest)
    )
    sizes = [*SIZES, (SIZES[1][1], SIZES[1][0])]  # upright
    for outcome, (width, height) in zip(asked(scene, encoder), sizes, strict=True):
        assert outcome.ok, outcome.message
        assert outcome.labels
        whole = outcome.mask.whole()
        assert whole.shape == (height, width)
        assert set(np.unique(whole)) <= {0, 1, 2, 255}
        assert outcome.mask.names == TASKS["segmentation"]
        assert sum(outcome.mask.shares().values()) == pytest.approx(1)
        for box in outcome.boxes:
            x0, y0, x1, y1 = box.corners
            assert 0 <= x0 <= x1 <= width
            assert 0 <= y0 <= y1 <= height
            assert box.name == TASKS["detection"][box.index]


@pytest.mark.parametrize("tasks", [("classification",), ("segmentation",), ALL[1:], ALL])
def test_only_what_was_asked_is_answered_as_the_tail_would(scene, tasks):
    manifest = Manifest.load(scene)
    encoder = load_feature_encoder(scene, manifest)
    codec, tail = load_frame_codec(scene, manifest), load_tail(scene)
    for outcome, photograph in zip(asked(scene, encoder, tasks), photographs(), strict=True):
        payload = encoder.encode(photograph, 0)
        (latent,) = codec.decode([bitstream.parse(payload.data)])
        (answer,) = tail.answers(latent[None], [(payload.height, payload.width)], tasks)
        assert bool(outcome.labels) == ("classification" in tasks)
        if outcome.labels:
            best = outcome.labels[0]
            assert answer.probabilities[best.index] == pytest.approx(best.probability, abs=1e-4)
        if "segmentation" in tasks:
            assert np.mean(outcome.mask.seen == answer.mask) > 0.99
        else:
            assert outcome.mask is None
        if "detection" in tasks:
            assert len(outcome.boxes) == len(answer.detections.boxes)
        else:
            assert outcome.boxes is None


def test_a_task_the_bundle_has_not_is_refused_by_name(scene):
    encoder = load_feature_encoder(scene, Manifest.load(scene))
    outcome = asked(scene, encoder, ("depth",))[0]
    assert outcome.status == "UNKNOWN_TASK"
    assert "'depth'" in outcome.message
    assert "classification, detection, segmentation" in outcome.message


def test_frames_of_different_tasks_do_not_share_a_batch(scene):
    encoder = load_feature_encoder(scene, Manifest.load(scene))
    packet = encoder.encode(photographs()[0], 0).data

    async def whole():
        replica = await Replica.start(ServerSettings((scene,), threads=1))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{replica.port}") as channel:
            stub = inference_pb2_grpc.InferenceStub(channel)
            call = stub.Stream()
            for i in range(30):
                tasks = [ALL[i % 3]]
                await call.write(inference_pb2.Frame(frame_id=i, packet=packet, tasks=tasks))
            await call.done_writing()
            results = {r.frame_id: r async for r in call}
        await replica.drain()
        return results

    for i, result in asyncio.run(asyncio.wait_for(whole(), 200)).items():
        answered = {name for name in ALL if result.HasField(_FIELDS[name])}
        assert answered == {ALL[i % 3]}


_FIELDS = {
    "classification": "classification",
    "detection": "detections",
    "segmentation": "segmentation",
}


def test_a_mask_that_is_not_the_pictures_is_no_mask():
    from narrows.edge.outcome import mask_of

    file = io.BytesIO()
    Image.new("L", (8, 4), 1).save(file, "png")
    good = inference_pb2.Segmentation(png=file.getvalue(), names=["a", "b"])
    result = inference_pb2.Result(segmentation=good)
    assert mask_of(result, (8, 4), None).shares() == {"b": 1.0}
    assert mask_of(result, (4, 8), None) is None
    for damaged in (b"", b"nonsense", file.getvalue()[:30]):
        result.segmentation.png = damaged
        assert mask_of(result, (8, 4), None) is None
    assert mask_of(inference_pb2.Result(), (8, 4), None) is None
