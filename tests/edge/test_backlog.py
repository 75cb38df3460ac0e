"""What the link did not carry is sent later: in order, behind live frames, told exactly once."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from spools import content, frame

from narrows.codec.manifest import InputSpec, Manifest
from narrows.edge.backlog import Backlog
from narrows.edge.device import run_device
from narrows.edge.encoder import ImageEncoder, load_feature_encoder
from narrows.edge.link import LinkSettings
from narrows.edge.outcome import DROPPED, KEPT, Outcome
from narrows.edge.record import FrameRecord
from narrows.edge.run import DeviceSettings
from narrows.edge.session import Session
from narrows.edge.source import SourceFrame
from narrows.edge.spool import MAX_FRAME_BYTES, MIN_BYTES, Spool
from narrows.edge.spooled import SpooledFrame
from narrows.edge.window import Window
from narrows.protos.narrows.v1 import inference_pb2
from narrows.simulations.faults import Fault, FaultyServer, answer

RULE = InputSpec(short_side=32, max_aspect=2.0, stride=8, mean=(0, 0, 0), std=(1, 1, 1))
Status = inference_pb2.FrameStatus
NEVER = LinkSettings(give_up_s=1e9, deadline_ms=300, first_wait_s=0.1)


class Remembering(FaultyServer):
    """Keeps what it was sent; refuses packets of another version for good."""

    def __init__(self, fault: Fault = Fault.NONE, port: int = 0, refuses: str = ""):
        super().__init__(fault, port)
        self.frames: list[inference_pb2.Frame] = []
        self.refuses = refuses

    def _replies(self, frame: inference_pb2.Frame) -> list[inference_pb2.Result]:
        self.frames.append(frame)
        replies = super()._replies(frame)
        if self.refuses and frame.bundle == self.refuses:
            replies = [answer(frame)]
            replies[0].status.code = Status.WRONG_DIGEST
        return replies


@contextmanager
def in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def sent_from(folder: Path, server: Remembering) -> list[tuple[SpooledFrame, Outcome]]:
    """Everything in the spool, sent to that server."""
    told: list[tuple[SpooledFrame, Outcome]] = []

    async def scenario() -> None:
        async with server:
            with Spool(folder, MIN_BYTES) as spool:
                async with Session(server.address, NEVER) as session:
                    backlog = Backlog(spool, lambda frame, outcome: told.append((frame, outcome)))
                    sending = asyncio.ensure_future(backlog.send_all(session))
                    await backlog.finish(session, sending, asyncio.Event())

    asyncio.run(scenario())
    return told


def test_what_is_stored_is_sent_in_order_as_it_was_made_and_then_gone(tmp_path: Path) -> None:
    frames = [frame(number) for number in range(1, 15)]
    with Spool(tmp_path, MIN_BYTES) as spool:
        for each in reversed(frames):
            spool.append(each)
    server = Remembering()
    told = sent_from(tmp_path, server)
    assert [each for each, _ in told] == frames
    assert {outcome.status for _, outcome in told} == {"OK"}
    for sent, each in zip(server.frames, frames, strict=True):
        assert (sent.packet or sent.image) == each.data
        assert (sent.bundle, tuple(sent.tasks)) == (each.bundle, each.tasks)
        assert (sent.source_width, sent.source_height) == (each.width, each.height)
    with Spool(tmp_path, MIN_BYTES) as spool:
        assert len(spool) == 0


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.HANGS_UP, Fault.TWICE, Fault.CLOSES])
def test_a_server_that_stumbles_answers_each_once(tmp_path: Path, fault: Fault) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        for number in range(1, 12):
            spool.append(frame(number, 500))
    told = [(each.id, o.status) for each, o in sent_from(tmp_path, Remembering(fault))]
    with Spool(tmp_path, MIN_BYTES) as spool:  # a link that is gone at the end leaves the rest
        left = [(each.id, "OK") for each in content(spool)]
    assert told + left == [(number, "OK") for number in range(1, 12)]


def test_packets_of_a_version_that_is_gone_are_told_and_dropped(tmp_path: Path) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        for number in range(1, 7):
            spool.append(replace(frame(number, 300), bundle="old" if number < 4 else "new"))
    told = sent_from(tmp_path, Remembering(refuses="old"))
    assert [(each.id, o.status) for each, o in told] == [
        *((number, "WRONG_DIGEST") for number in (1, 2, 3)),
        *((number, "OK") for number in (4, 5, 6)),
    ]
    with Spool(tmp_path, MIN_BYTES) as spool:
        assert len(spool) == 0


def test_a_full_spool_tells_what_it_dropped(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    stored: list[bool] = []

    async def scenario() -> dict[str, object]:
        with Spool(tmp_path, MIN_BYTES) as spool:
            async with FaultyServer(Fault.SILENT) as server:
                async with Session(server.address, NEVER) as session:
                    backlog = Backlog(spool, lambda f, o: told.append((f.id, o.status)))
                    for number in range(1, 9):
                        one = frame(number, MAX_FRAME_BYTES - 1000)
                        backlog.keep(lambda one=one: one, stored.append)
                    backlog.keep(lambda: frame(9, MAX_FRAME_BYTES + 1), stored.append)
                    stop = asyncio.Event()
                    stop.set()
                    sending = asyncio.ensure_future(asyncio.Event().wait())
                    return await backlog.finish(session, sending, stop)  # type: ignore[arg-type]

    summary = asyncio.run(scenario())
    assert stored == [True] * 8 + [False]
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    assert {status for _, status in told} == {DROPPED}
    assert summary == {
        "kept": 8, "answered": 0, "failed": 0, "dropped": len(told), "unkept": 1,
        "left": 8 - len(told), "set_aside": None,
    }  # fmt: skip


def test_what_goes_behind_waits_for_the_link_and_leaves_a_place_for_a_live_frame() -> None:
    async def scenario() -> None:
        window = Window(3)
        behind = asyncio.ensure_future(window.acquire_behind())
        await asyncio.sleep(0)
        assert not behind.done()  # the link is down
        await window.acquire()
        await window.acquire()
        window.on_link(up=True)
        await asyncio.sleep(0)
        assert not behind.done()  # the last place is a live frame's
        window.release()
        await behind
        await window.acquire()
        assert window.locked()
        gone = asyncio.ensure_future(window.link_gone())
        await asyncio.sleep(0)
        assert not gone.done()
        window.on_link(up=False)
        await gone

    asyncio.run(scenario())


def test_a_window_of_one_place_lets_what_is_behind_in_when_it_is_free() -> None:
    async def scenario() -> None:
        window = Window(1)
        window.on_link(up=True)
        await window.acquire()
        behind = asyncio.ensure_future(window.acquire_behind())
        live = asyncio.ensure_future(window.acquire())
        await asyncio.sleep(0)
        window.release()
        await live
        assert not behind.done()
        window.release()
        await behind

    asyncio.run(scenario())


def pictures(names: list[str]) -> Iterator[SourceFrame]:
    for number, name in enumerate(names):
        yield SourceFrame(name, Image.new("RGB", (50, 37), (number, 0, 0)))


@pytest.mark.parametrize("fps", [None, 200.0])
def test_a_device_without_a_server_keeps_all_and_its_next_run_tells_the_answers(
    tmp_path: Path, fps: float | None
) -> None:
    records: list[FrameRecord] = []
    names = [f"picture {number}" for number in range(12)]
    encoder = ImageEncoder(RULE, "jpeg", 50)
    with in_a_thread() as loop:
        server = Remembering()
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        settings = DeviceSettings(server.address, fps=fps, link=NEVER)
        with Spool(tmp_path, MIN_BYTES) as spool:
            first = run_device(pictures(names), encoder, settings, records.append, spool=spool)
        again = Remembering(port=server.port)
        asyncio.run_coroutine_threadsafe(again.__aenter__(), loop).result()
        with Spool(tmp_path, MIN_BYTES) as spool:
            second = run_device(pictures(["new"]), encoder, settings, records.append, spool=spool)
        asyncio.run_coroutine_threadsafe(again.stop(), loop).result()
    assert first["frames"] == first["kept"] == first["spool"]["left"] == 12
    assert first["failed"] == first["lost"] == 0
    assert second["spool"]["answered"] >= 12
    assert second["spool"]["left"] == 0
    assert [r.outcome.status for r in records if r.kept] == [KEPT] * sum(r.kept for r in records)
    final = Counter(r.name for r in records if not r.kept)
    assert final == Counter([*names, "new"])
    spooled = [r for r in records if r.captured_ns is not None]
    assert [r.name for r in spooled][:12] == names
    line = spooled[0].to_json()
    assert (line["spooled"], line["kept"], line["status"]) == (True, False, "OK")
    assert line["captured"].endswith("+00:00")


def test_a_frame_of_a_video_is_kept_as_a_key_frame(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    encoder = load_feature_encoder(tiny_bundle, manifest, video=True)
    settings = DeviceSettings("127.0.0.1:9", bundle=manifest.name, fps=100.0, link=NEVER)
    names = [f"picture {number}" for number in range(8)]
    with Spool(tmp_path, MIN_BYTES) as spool:
        run_device(pictures(names), encoder, settings, lambda record: None, spool=spool)
        kept = content(spool)
    alone = load_feature_encoder(tiny_bundle, manifest)
    assert [each.name for each in kept] == names
    for each, picture in zip(kept, pictures(names), strict=True):
        assert each.data == alone.encode(picture.image, 0).data
        assert each.bundle == manifest.name
