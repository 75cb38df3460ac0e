"""One replica over a real socket: every frame gets its own answer or its own error."""

import asyncio
import io
from time import monotonic_ns

import grpc
import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from narrows.codec import bitstream
from narrows.codec.manifest import Manifest
from narrows.kernels.coder import EncodedPayload, crc32c
from narrows.models.bundle import load_tail
from narrows.protos.narrows.v1 import bundles_pb2, bundles_pb2_grpc, inference_pb2

Status = inference_pb2.FrameStatus
Frame = inference_pb2.Frame


def picture(size=(40, 32), kind="jpeg") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def resealed(packet: bytes, place: int, value: bytes) -> bytes:
    """A packet with header bytes changed and the checksum made right again."""
    data = bytearray(packet)
    data[place : place + len(value)] = value
    data[18:22] = crc32c(bytes(data[:18] + data[22:])).to_bytes(4, "little")
    return bytes(data)


async def streamed(stub, frames: list[Frame]) -> dict[int, inference_pb2.Result]:
    call = stub.Stream()

    async def write() -> None:
        for frame in frames:
            await call.write(frame)
        await call.done_writing()

    writing = asyncio.create_task(write())
    results = [result async for result in call]
    await writing
    assert len({r.frame_id for r in results}) == len(results)
    return {r.frame_id: r for r in results}


def test_every_frame_of_a_stream_is_answered_once_as_the_tail_would(
    served, packets, codec, tiny_bundle
):
    async def scenario(replica, stub):
        return await streamed(stub, [Frame(frame_id=i, packet=p) for i, p in enumerate(packets)])

    results = served(scenario)
    assert set(results) == set(range(len(packets)))
    tail = load_tail(tiny_bundle)
    for i, packet in enumerate(packets):
        (latent,) = codec.decode([bitstream.parse(packet)])
        probabilities = tail.run(latent[None])[0]
        labels = results[i].classification.labels
        assert labels[0].index == int(probabilities.argmax())
        assert labels[0].probability == pytest.approx(float(probabilities.max()), abs=1e-4)


def test_the_parts_of_a_frames_time_add_up(served, packets):
    async def scenario(replica, stub):
        return await stub.Infer(Frame(frame_id=9, packet=packets[0]))

    timing = served(scenario).timing
    parts = timing.queue_ns + timing.decode_ns + timing.tail_ns + timing.reply_ns
    assert parts == timing.sent_ns - timing.received_ns
    assert timing.tail_ns > 0


def faulty_frames(packets: list[bytes], digest: bytes) -> dict[int, Frame]:
    good = packets[0]
    empty = bitstream.serialise(0, digest, 4, 4, EncodedPayload(b"\2\0\0\0", 1, 0))
    return {
        Status.UNKNOWN_BUNDLE: Frame(bundle="other", packet=good),
        Status.WRONG_DIGEST: Frame(bundle="tiny", packet=resealed(good, 4, b"\0\0\0\0")),
        Status.BAD_CHECKSUM: Frame(packet=good[:-1] + bytes([good[-1] ^ 1])),
        Status.TRUNCATED: Frame(packet=good[:-3]),
        Status.WRONG_SHAPE: Frame(packet=resealed(good, 8, b"\xff\xff\xff\xff")),
        Status.TOO_LARGE: Frame(packet=good + bytes(3000)),
        Status.MALFORMED: Frame(packet=empty),
        Status.UNSUPPORTED_VERSION: Frame(packet=resealed(good, 2, b"\x09")),
    }


def test_each_fault_has_its_own_status_and_the_stream_lives_on(served, packets, codec):
    faults = faulty_frames(packets, codec.digest_prefix)

    async def scenario(replica, stub):
        frames = []
        for code, frame in faults.items():
            frame.frame_id = code
            frames += [frame, Frame(frame_id=1000 + code, packet=packets[1])]
        return await streamed(stub, frames)

    results = served(scenario, max_frame_bytes=2000)
    for code in faults:
        assert Status.Code.Name(results[code].status.code) == Status.Code.Name(code)
        assert results[code].status.message
        assert results[1000 + code].status.code == Status.OK


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(packet=b"hello"), Status.MALFORMED),
        (Frame(), Status.MALFORMED),
        (Frame(image=b"not a picture"), Status.MALFORMED),
        (Frame(image=picture()[:300]), Status.MALFORMED),
        (Frame(image=picture((33, 700))), Status.WRONG_SHAPE),
        (Frame(image=picture(kind="png")), Status.MALFORMED),
        (Frame(image=picture(), bundle="other"), Status.UNKNOWN_BUNDLE),
    ],
)
def test_other_strange_frames_are_refused_with_a_reason(served, frame, code):
    async def scenario(replica, stub):
        return await stub.Infer(frame)

    status = served(scenario).status
    assert Status.Code.Name(status.code) == Status.Code.Name(code)
    assert status.message


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_an_uploaded_picture_is_answered_by_the_unsplit_network(served, tiny_bundle, kind):
    async def scenario(replica, stub):
        return await stub.Infer(Frame(frame_id=3, image=picture(kind=kind)))

    result = served(scenario)
    assert result.status.code == Status.OK
    pixels = np.array(Image.open(io.BytesIO(picture(kind=kind))).convert("RGB"))
    expected = load_tail(tiny_bundle).run_unsplit(pixels[None])[0]
    assert result.classification.labels[0].index == int(expected.argmax())


def held(replica) -> tuple[asyncio.Event, asyncio.Event]:
    """Makes the worker wait inside its next batch: (it has entered, let it go)."""
    entered, release = asyncio.Event(), asyncio.Event()
    loop, run = asyncio.get_running_loop(), replica._batcher._run_batch

    def slow(batch):
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return run(batch)

    replica._batcher._run_batch = slow
    return entered, release


def test_a_frame_whose_time_is_up_is_not_run(served, packets):
    """A deadline passes while the frame waits behind a busy worker."""

    async def scenario(replica, stub):
        entered, release = held(replica)
        first = asyncio.create_task(_infer(stub, Frame(frame_id=1, packet=packets[0])))
        await entered.wait()
        late = asyncio.create_task(
            _infer(stub, Frame(frame_id=2, packet=packets[0], deadline_ms=1))
        )
        while not len(replica._batcher) or not next(replica._batcher._waiting.in_order()).expired(
            monotonic_ns()
        ):
            await asyncio.sleep(0.001)
        release.set()
        return await first, await late

    first, late = served(scenario)
    assert first.status.code == Status.OK
    assert late.status.code == Status.DEADLINE_EXCEEDED


def test_a_full_queue_refuses_at_once(served, packets, tiny_bundle):
    async def scenario(replica, stub):
        entered, release = held(replica)
        running = asyncio.create_task(_infer(stub, Frame(frame_id=1, packet=packets[0])))
        await entered.wait()
        waiting = [asyncio.create_task(_infer(stub, Frame(packet=packets[0]))) for _ in range(2)]
        while len(replica._batcher) < 2:
            await asyncio.sleep(0.001)
        refused = [await stub.Infer(Frame(packet=packet)) for packet in packets[:3]]
        release.set()
        return refused, [await running, *[await w for w in waiting]]

    refused, answered = served(scenario, max_waiting=2)
    assert {each.status.code for each in refused} == {Status.OVERLOADED}
    sizes = {p.id: p.packet_bytes for p in Manifest.load(tiny_bundle).operating_points}
    for point, each in enumerate(refused):  # one packet of each point
        fewer = {p: size for p, size in sizes.items() if size < sizes[point]}
        hint = each.status.cheaper_point if each.status.HasField("cheaper_point") else None
        assert hint == max(fewer, key=lambda p: fewer[p], default=None)
    assert all(r.status.code == Status.OK for r in answered)


async def _infer(stub, frame):
    return await stub.Infer(frame)


def test_a_bug_in_the_tail_costs_its_batch_not_the_server(served, packets):
    async def scenario(replica, stub):
        run = replica._batcher._run_batch

        def broken(batch):
            raise RuntimeError("a bug")

        replica._batcher._run_batch = broken
        failed = await stub.Infer(Frame(packet=packets[0]))
        replica._batcher._run_batch = run
        return failed, await stub.Infer(Frame(packet=packets[0]))

    failed, fine = served(scenario)
    assert failed.status.code == Status.INTERNAL
    assert fine.status.code == Status.OK


def test_draining_answers_what_was_accepted_and_ends_open_streams(served, packets):
    async def scenario(replica, stub):
        call = stub.Stream()
        for i, packet in enumerate(packets):
            await call.write(Frame(frame_id=i, packet=packet))
        first = await call.read()
        draining = asyncio.create_task(replica.drain())
        results = [first]
        while (result := await call.read()) is not grpc.aio.EOF:
            results.append(result)
        await draining
        return results, await call.code()

    results, code = served(scenario)
    assert code == grpc.StatusCode.OK
    assert len({r.frame_id for r in results}) == len(results)
    assert all(r.status.code == Status.OK for r in results)


def test_health_and_reflection_answer(served):
    async def scenario(replica, stub):
        health = health_pb2_grpc.HealthStub(stub.channel)
        request = health_pb2.HealthCheckRequest(service="narrows.v1.Inference")
        state = await health.Check(request)
        mirror = reflection_pb2_grpc.ServerReflectionStub(stub.channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        async for reply in mirror.ServerReflectionInfo(iter([ask])):
            return state.status, {s.name for s in reply.list_services_response.service}

    status, services = served(scenario)
    assert status == health_pb2.HealthCheckResponse.SERVING
    assert {"narrows.v1.Inference", "narrows.v1.Bundles"} <= services


@pytest.mark.parametrize("part", ["HEAD", "ALL"])
def test_fetched_bundles_hold_together(served, tiny_bundle, tmp_path, part):
    async def scenario(replica, stub):
        bundles = bundles_pb2_grpc.BundlesStub(stub.channel)
        (info,) = (await bundles.List(bundles_pb2.ListBundlesRequest())).bundles
        request = bundles_pb2.FetchBundleRequest(name=info.name, part=part)
        async for chunk in bundles.Fetch(request):
            with (tmp_path / chunk.file).open("ab") as file:
                assert file.tell() == chunk.offset
                file.write(chunk.data)
        return info

    info = served(scenario)
    manifest = Manifest.load(tmp_path)
    assert bytes.fromhex(manifest.digest) == info.digest
    names = {p.name for p in tmp_path.iterdir()} - {"manifest.json"}
    manifest.verify_files(tmp_path, tuple(names))
    assert ("tail.safetensors" in names) == (part == "ALL")


def test_an_unknown_bundle_is_not_found(served):
    async def scenario(replica, stub):
        bundles = bundles_pb2_grpc.BundlesStub(stub.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in bundles.Fetch(bundles_pb2.FetchBundleRequest(name="../../etc/passwd")):
                pass
        return caught.value.code()

    assert served(scenario) == grpc.StatusCode.NOT_FOUND


def test_ten_thousand_hostile_packets_each_get_their_error_and_memory_stays_flat(served, packets):
    rng = np.random.default_rng(1)

    def hostile(i: int) -> bytes:
        if i % 2:
            return rng.bytes(int(rng.integers(0, 400)))
        data = bytearray(packets[i % len(packets)])
        data[int(rng.integers(22, len(data)))] ^= 1 << int(rng.integers(0, 8))
        if i % 4 == 0:  # past the checksum, into the decoder
            data[18:22] = crc32c(bytes(data[:18] + data[22:])).to_bytes(4, "little")
        return bytes(data)

    async def scenario(replica, stub):
        process, memory = psutil.Process(), []
        for start in range(0, 10_000, 1000):
            frames = [Frame(frame_id=i, packet=hostile(i)) for i in range(start, start + 1000)]
            results = await streamed(stub, frames)
            assert set(results) == set(range(start, start + 1000))
            refused = [r for r in results.values() if r.frame_id % 4]
            assert all(r.status.code != Status.OK and r.status.message for r in refused)
            memory.append(process.memory_info().rss)
        good = await stub.Infer(Frame(packet=packets[0]))
        return good, memory

    good, memory = served(scenario)
    assert good.status.code == Status.OK
    assert memory[-1] - memory[2] < 24 << 20
