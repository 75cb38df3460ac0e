"""Frames coded against the one before, through a real replica and a real session."""

import asyncio
from time import monotonic_ns

import grpc
import numpy as np
import pytest

from narrows.codec import bitstream
from narrows.codec.video import VideoEncoder
from narrows.edge.link import LinkSettings
from narrows.edge.payload import Payload
from narrows.edge.session import Session
from narrows.errors import CorruptPayload, MissingReference
from narrows.kernels.coder import EncodedPayload, crc32c
from narrows.models.bundle import load_tail
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.server.history import MAX_UNDECODED, CodedFrame, History
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings

Frame, Status = inference_pb2.Frame, inference_pb2.FrameStatus


def scene(codec, frames: int, seed: int = 0) -> list[np.ndarray]:
    """Latents that change by a few positions a frame."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(0, 1, (codec.channels, 4, 4)).astype(np.float32)
    sequence = []
    for _ in range(frames):
        latent = np.where(rng.random(latent.shape) < 0.02, -latent, latent)
        sequence.append(latent)
    return sequence


def coded(codec, frames: int) -> tuple[list[bytes], list[bytes]]:
    """Packets of a scene, and each frame's key packet; only the first is one of both."""
    encoder = VideoEncoder(codec)
    pairs = [encoder.encode(latent, 0) for latent in scene(codec, frames)]
    packets = [packet for packet, _ in pairs]
    inter = [bitstream.parse(p).header.reference is not None for p in packets]
    assert inter == [False] + [True] * (frames - 1)
    return packets, [key() for _, key in pairs]


async def exchange(stub, frames: list[Frame]) -> dict[int, inference_pb2.Result]:
    """Answers by frame id, one frame after the other."""
    call, results = stub.Stream(), {}
    for frame in frames:
        await call.write(frame)
        result = await call.read()
        results[result.frame_id] = result
    await call.done_writing()
    return results


def test_every_frame_is_answered_as_its_key_would_be(served, codec, tiny_bundle):
    packets, keys = coded(codec, 40)
    tail = load_tail(tiny_bundle)

    async def scenario(replica, stub):
        call = stub.Stream()
        for i, packet in enumerate(packets):
            await call.write(Frame(frame_id=i, packet=packet))
        await call.done_writing()
        return {result.frame_id: result async for result in call}

    results = served(scenario)
    assert set(results) == set(range(40))
    for i, key in enumerate(keys):
        (latent,) = codec.decode([bitstream.parse(key)])
        probabilities = tail.run(latent[None])[0]
        labels = {x.index: x.probability for x in results[i].classification.labels}
        assert labels == pytest.approx(dict(enumerate(probabilities)), abs=1e-4)


def test_a_frame_without_its_reference_asks_for_a_key_and_the_stream_lives(served, codec):
    packets, keys = coded(codec, 6)

    async def scenario(replica, stub):
        alone = await stub.Infer(Frame(frame_id=1, packet=packets[1]))
        frames = [Frame(frame_id=1, packet=packets[1])]  # a new stream: nothing came before
        frames += [Frame(frame_id=2, packet=packets[2]), Frame(frame_id=3, packet=keys[3])]
        frames += [Frame(frame_id=4, packet=packets[4]), Frame(frame_id=2, packet=keys[2])]
        frames += [Frame(frame_id=5, packet=packets[5])]  # frame 2, resent, was no newer than 4
        return alone, await exchange(stub, frames)

    alone, results = served(scenario)
    assert alone.status.code == Status.NEED_KEY_FRAME
    assert results[1].status.code == Status.NEED_KEY_FRAME
    assert "key" in results[1].status.message
    assert {results[i].status.code for i in (2, 3, 4, 5)} == {Status.OK}


def test_a_damaged_reference_costs_itself_and_a_key(served, codec):
    packets, keys = coded(codec, 4)
    header, payload = (good := bitstream.parse(packets[0])).header, good.payload
    damaged = bitstream.serialise(
        0, header.digest_prefix, 4, 4,
        EncodedPayload(payload[:-2] + b"\0\0", header.lanes, header.tail),
    )  # fmt: skip

    async def scenario(replica, stub):
        frames = [Frame(frame_id=0, packet=damaged), Frame(frame_id=1, packet=packets[1])]
        frames += [Frame(frame_id=2, packet=keys[2]), Frame(frame_id=3, packet=packets[3])]
        return await exchange(stub, frames)

    results = served(scenario)
    assert results[0].status.code == Status.MALFORMED
    assert results[1].status.code == Status.NEED_KEY_FRAME
    assert {results[i].status.code for i in (2, 3)} == {Status.OK}


def test_frames_nobody_decoded_are_decoded_for_the_one_that_needs_them(codec):
    packets, keys = coded(codec, MAX_UNDECODED + 1)
    history = History()
    frames = [history.add(i, codec, bitstream.parse(p)) for i, p in enumerate(packets[:-1])]
    with pytest.raises(MissingReference, match="undecoded"):
        history.add(MAX_UNDECODED, codec, bitstream.parse(packets[-1]))
    for number in (MAX_UNDECODED - 1, 3):  # the last first: it takes all before it along
        expected = codec.decode_symbols(bitstream.parse(keys[number]))
        assert np.array_equal(frames[number].reference().symbols, expected)
    last = history.add(MAX_UNDECODED, codec, bitstream.parse(packets[-1]))
    expected = codec.decode_symbols(bitstream.parse(keys[-1]))
    assert np.array_equal(last.reference().symbols, expected)


def test_what_cannot_be_decoded_says_so_to_all_that_follow(codec):
    packets, _ = coded(codec, 3)
    good = bitstream.parse(packets[0])
    bad = CodedFrame(codec, bitstream.Packet(good.header, good.payload[:-2]), None)
    follower = CodedFrame(codec, bitstream.parse(packets[1]), bad)
    with pytest.raises(MissingReference, match="the frame before it does not decode"):
        follower.reference()
    with pytest.raises(CorruptPayload):
        bad.reference()


def test_a_session_goes_on_over_a_restarted_server(tiny_bundle, codec):
    """A new replica knows no frame: what was in flight comes as keys, then the video goes on."""
    encoder, latents = VideoEncoder(codec), scene(codec, 1) * 60

    def payload(latent: np.ndarray) -> Payload:
        packet, key = encoder.encode(latent, 0)
        return Payload("packet", packet, 32, 32, monotonic_ns(), 0, 0, 0, key)

    async def scenario():
        first = await Replica.start(ServerSettings((tiny_bundle,), threads=1))
        address, port = f"127.0.0.1:{first.port}", first.port
        async with Session(address, LinkSettings(deadline_ms=60_000)) as session:
            answers = [await session.ask(payload(latent)) for latent in latents[:20]]
            await first.drain()
            second = await Replica.start(ServerSettings((tiny_bundle,), port=port, threads=1))
            sent = []
            for latent in latents[20:]:
                await session.room()
                sent.append(session.send(payload(latent)))
            answers += await asyncio.gather(*sent)
            await second.drain()
            return answers, session.reconnects

    answers, reconnects = asyncio.run(asyncio.wait_for(scenario(), 200))
    assert [a.status for a in answers] == ["OK"] * 60
    assert reconnects >= 1
    sizes = [a.wire.packet_bytes for a in answers]
    keys = {i for i, size in enumerate(sizes) if size > min(sizes)}
    assert {0, 20} <= keys <= {0, *range(20, 40)}  # and then inter packets again


def test_a_server_refusing_a_reference_over_and_over_does_not_double_the_traffic(served, codec):
    """However long the round trip, one lost reference costs the frames in flight and one key."""

    async def scenario(replica, stub):
        encoder = VideoEncoder(codec)
        encoder.encode(scene(codec, 1)[0], 0)  # the key that never arrived
        async with Session(f"127.0.0.1:{replica.port}", LinkSettings(window=8)) as session:
            sent = []
            for latent in scene(codec, 100, seed=0):
                await session.room()
                packet, key = encoder.encode(latent, 0)
                ready = Payload("packet", packet, 32, 32, monotonic_ns(), 0, 0, 0, key)
                sent.append(session.send(ready))
            return await asyncio.gather(*sent), session.resent

    answers, resent = served(scenario)
    assert all(answer.ok for answer in answers)
    assert 1 <= resent <= 16


def test_an_old_server_that_knows_no_keys_ends_the_frame(served, codec, packets):
    """NEED_KEY_FRAME for a frame that is a key already is final: no endless resending."""

    async def refuse(frame, context):
        code = Status.NEED_KEY_FRAME
        return inference_pb2.Result(
            frame_id=frame.frame_id, status=Status(code=code, message="on principle")
        )

    async def scenario(replica, stub):
        class Refusing(inference_pb2_grpc.InferenceServicer):
            async def Stream(self, request_iterator, context):
                async for frame in request_iterator:
                    yield await refuse(frame, context)

        server = grpc.aio.server()
        inference_pb2_grpc.add_InferenceServicer_to_server(Refusing(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with Session(f"127.0.0.1:{port}", LinkSettings()) as session:
                encoder = VideoEncoder(codec)
                packet, key = encoder.encode(scene(codec, 1)[0], 0)
                made = Payload("packet", packet, 32, 32, monotonic_ns(), 0, 0, 0, key)
                return await session.ask(made), await session.ask(
                    Payload("packet", packets[0], 32, 32, monotonic_ns(), 0, 0, 0)
                )
        finally:
            await server.stop(0)

    with_key, without = served(scenario)
    assert (with_key.status, with_key.sendings) == ("NEED_KEY_FRAME", 2)
    assert (without.status, without.sendings) == ("NEED_KEY_FRAME", 1)


def test_hostile_inter_packets_each_get_an_answer_and_the_stream_lives(served, codec):
    """Flipped under a right checksum, cut, out of order: a status each, and bounded memory."""
    packets, keys = coded(codec, 50)
    rng = np.random.default_rng(0)

    def hostile(i: int) -> bytes:
        data = bytearray(packets[i % 50])
        if i % 5 == 1:
            return bytes(data[: rng.integers(1, len(data))])
        for _ in range(rng.integers(0, 4)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        if i % 5 > 2 and len(data) > 22:
            data[18:22] = crc32c(bytes(data[:18] + data[22:])).to_bytes(4, "little")
        return bytes(data)

    async def scenario(replica, stub):
        call, results = stub.Stream(), {}

        async def write() -> None:
            for i in range(2000):
                await call.write(Frame(frame_id=i, packet=hostile(i)))
            await call.write(Frame(frame_id=2000, packet=keys[0]))
            await call.write(Frame(frame_id=2001, packet=packets[1]))
            await call.done_writing()

        writing = asyncio.create_task(write())
        async for result in call:
            assert result.frame_id not in results
            results[result.frame_id] = result
        await writing
        return results

    results = served(scenario)
    assert set(results) == set(range(2002))
    codes = {Status.Code.Name(r.status.code) for r in results.values()}
    assert {"NEED_KEY_FRAME", "BAD_CHECKSUM", "TRUNCATED"} <= codes
    assert "INTERNAL" not in codes
    assert results[2000].status.code == results[2001].status.code == Status.OK
