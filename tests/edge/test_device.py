"""A device's run: every picture captured has one record, and the counts add up."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.codec import bitstream
from narrows.codec.manifest import InputSpec, Manifest
from narrows.edge.device import run_device, run_local
from narrows.edge.encoder import Encoder, ImageEncoder, load_feature_encoder
from narrows.edge.head import OnnxHead
from narrows.edge.link import LinkSettings
from narrows.edge.local import LocalAnswerer
from narrows.edge.outcome import Label
from narrows.edge.record import FrameRecord, Tally
from narrows.edge.run import DeviceSettings, judge
from narrows.edge.source import SourceFrame
from narrows.edge.timing import STAGES
from narrows.errors import BundleError, ConfigError, LinkError
from narrows.simulations.faults import Fault, FaultyServer

RULE = InputSpec(short_side=32, max_aspect=2.0, stride=8, mean=(0, 0, 0), std=(1, 1, 1))


@contextmanager
def serving(fault: Fault) -> Iterator[tuple[FaultyServer, asyncio.AbstractEventLoop]]:
    """A faulty server in a thread of its own: the device under test owns the main one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = FaultyServer(fault)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield server, loop
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def pictures(count: int, size: tuple[int, int] = (50, 37)) -> Iterator[SourceFrame]:
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), np.uint8)
        yield SourceFrame(f"picture {number}", Image.fromarray(pixels))


def run(
    encoder: Encoder, fault: Fault = Fault.NONE, frames: int = 12, **settings: object
) -> tuple[dict, list[FrameRecord]]:
    records: list[FrameRecord] = []
    with serving(fault) as (server, _):
        where = DeviceSettings(server.address, **settings)  # type: ignore[arg-type]
        summary = run_device(pictures(frames), encoder, where, records.append)
    return summary, records


@pytest.fixture(scope="module")
def features(tiny_bundle: Path) -> Encoder:
    return load_feature_encoder(tiny_bundle, Manifest.load(tiny_bundle))


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.TWICE, Fault.HANGS_UP, Fault.ALWAYS_BUSY])
def test_every_captured_frame_has_one_record(features: Encoder, fault: Fault) -> None:
    summary, records = run(features, fault)
    assert sorted(r.name for r in records) == sorted(f"picture {n}" for n in range(12))
    assert summary["frames"] == summary["answered"] + summary["failed"] == 12
    assert summary["lost"] == 0


def test_points_are_taken_in_turn_without_a_reload(features: Encoder) -> None:
    _, records = run(features, points=(0, 2))
    points = {r.name: r.point for r in records}
    assert [points[f"picture {n}"] for n in range(4)] == [0, 2, 0, 2]


def test_a_records_stages_add_up_to_its_latency(features: Encoder) -> None:
    _, records = run(features)
    for record in records:
        line = record.to_json()
        assert tuple(line["timing_ms"]) == STAGES
        assert line["latency_ms"] == pytest.approx(sum(line["timing_ms"].values()))
        assert line["wire_bytes"] == line["packet_bytes"] + line["framing_bytes"]


def test_the_summary_tells_memory_and_start_up(features: Encoder) -> None:
    summary, _ = run(features, frames=2)
    assert summary["peak_memory_bytes"] > 1e6
    assert summary["startup_ms"] > 0
    assert summary["cpu_ms"] > 0
    assert set(summary["latency_ms"]["stages"]) == set(STAGES)


def test_a_frame_rate_is_not_exceeded(features: Encoder) -> None:
    _, records = run(features, frames=5, fps=100.0)
    assert len(records) == 5


class _EveryThirdFails:
    """An encoder that meets strange pictures."""

    def __init__(self) -> None:
        self.count = 0
        self.encoder = ImageEncoder(RULE, "jpeg", 50)

    def encode(self, image: Image.Image, point: int):  # type: ignore[no-untyped-def]
        self.count += 1
        if self.count % 3 == 0:
            raise OSError("broken data stream")
        return self.encoder.encode(image, point)


def test_a_picture_that_cannot_be_encoded_fails_alone() -> None:
    summary, _ = run(_EveryThirdFails())
    assert summary["errors"] == {"NOT_ENCODED": 4}
    assert summary["answered"] == 8


def test_a_server_that_goes_away_ends_the_run_with_all_frames_told() -> None:
    records: list[FrameRecord] = []
    with serving(Fault.NONE) as (server, loop):

        def endless() -> Iterator[SourceFrame]:
            for number, frame in enumerate(pictures(10**6)):
                if number == 5:
                    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
                yield frame

        settings = DeviceSettings(server.address, link=LinkSettings(give_up_s=0.3))
        encoder = ImageEncoder(RULE, "jpeg", 50)
        summary = run_device(endless(), encoder, settings, records.append)
    assert server.address in summary["error"]
    assert summary["frames"] == len(records) == summary["answered"] + summary["failed"]
    assert set(summary["errors"]) == {"LINK"}


def test_no_server_to_begin_with_is_a_link_error() -> None:
    with serving(Fault.NONE) as (server, _):
        pass
    settings = DeviceSettings(server.address, link=LinkSettings(give_up_s=0.2))
    with pytest.raises(LinkError, match="narrows serve"):
        run_device(pictures(1), ImageEncoder(RULE, "jpeg", 50), settings, lambda record: None)


@pytest.mark.parametrize("size", [(50, 37), (1, 1), (31, 200), (400, 33)])
def test_a_packet_has_the_latent_of_the_padded_picture(
    features: Encoder, size: tuple[int, int]
) -> None:
    payload = features.encode(Image.new("RGB", size), 1)
    header = bitstream.parse(payload.data).header
    assert (header.height, header.width) == (-(-payload.height // 8), -(-payload.width // 8))
    assert min(payload.height, payload.width) == 32


@pytest.mark.parametrize(("kind", "magic"), [("jpeg", b"\xff\xd8"), ("webp", b"RIFF")])
def test_uploads_are_files_of_the_unpadded_picture(kind: str, magic: bytes) -> None:
    payload = ImageEncoder(RULE, kind, 60).encode(Image.new("RGB", (50, 37)), 0)
    assert payload.data.startswith(magic)
    assert (payload.width, payload.height) == (43, 32)


@pytest.mark.parametrize(("kind", "quality"), [("png", 50), ("jpeg", 0), ("webp", 101)])
def test_other_uploads_are_refused(kind: str, quality: int) -> None:
    with pytest.raises(ConfigError, match="jpeg or webp"):
        ImageEncoder(RULE, kind, quality)


def test_a_file_that_is_no_head_is_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    (tmp_path / "head.onnx").write_bytes(b"nothing")
    with pytest.raises(BundleError, match=r"head\.onnx"):
        OnnxHead(tmp_path / "head.onnx")
    with pytest.raises(BundleError, match="probabilities"):
        LocalAnswerer(tiny_bundle / "head.onnx", RULE)


def test_the_whole_network_runs_on_the_device_too(tiny_bundle: Path, tmp_path: Path) -> None:
    export = pytest.importorskip("narrows.models.onnx_unsplit").export_unsplit
    manifest = Manifest.load(tiny_bundle)
    tail = pytest.importorskip("narrows.models.bundle").load_tail(tiny_bundle)
    full = export(tail, manifest.input.short_side, tmp_path / "unsplit.onnx")
    answerer = LocalAnswerer(full, manifest.input)
    records: list[FrameRecord] = []
    tally = Tally()
    summary = run_local(
        pictures(3), answerer, manifest.labels, manifest.folders, records.append, tally
    )
    assert summary["answered"] == 3
    assert {r.outcome.labels[0].name for r in records} <= set(manifest.labels)
    assert all(r.to_json()["wire_bytes"] == 0 for r in records)


def test_right_and_wrong_are_told_by_name_or_by_class_folder() -> None:
    image = Image.new("RGB", (1, 1))
    answer = [Label(1, "tench", 0.9)]
    folders = ("n0", "n1")
    assert judge(SourceFrame("a", image, "Tench", "x"), answer, folders)
    assert judge(SourceFrame("a", image, "n1", "n1"), answer, folders)
    assert judge(SourceFrame("a", image, "n0", "n0"), answer, folders) is False
    assert judge(SourceFrame("a", image), answer, folders) is None
