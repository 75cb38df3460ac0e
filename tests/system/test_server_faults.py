"""A whole server process under faults: what it accepted is answered, and it is there afterwards."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from time import monotonic_ns

import grpc
import numpy as np
import psutil
import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from PIL import Image
from serving import serving

pytest.importorskip("torch", reason="needs the server extra")

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.link import LinkSettings
from narrows.edge.payload import Payload
from narrows.edge.session import Session
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.security.authority import Authority
from narrows.simulations.links.relay import Relay
from narrows.simulations.links.spec import LinkSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Frame, Status = inference_pb2.Frame, inference_pb2.FrameStatus
ALTERED = int(os.environ.get("NARROWS_ALTERED_FRAMES", "5000"))
PATIENT = LinkSettings(window=8, deadline_ms=60_000)


@pytest.fixture(scope="module")
def server(tiny_bundle):
    with serving(tiny_bundle) as (pid, address):
        yield pid, address


@pytest.fixture(scope="module")
def packets(tiny_bundle):
    codec = load_frame_codec(tiny_bundle, Manifest.load(tiny_bundle))
    rng = np.random.default_rng(0)
    latents = rng.normal(0, 1, (30, codec.channels, 4, 4)).astype(np.float32)
    return [codec.encode(latent, i % 3) for i, latent in enumerate(latents)]


def payload(packet: bytes) -> Payload:
    return Payload("packet", packet, 32, 32, monotonic_ns(), 0, 0, 0)


@asynccontextmanager
async def stub_of(address):
    async with grpc.aio.insecure_channel(address) as channel:
        yield inference_pb2_grpc.InferenceStub(channel)


async def is_well(address, packets):
    """A stranger's frame is answered."""
    async with stub_of(address) as stub:
        result = await stub.Infer(Frame(frame_id=1, packet=packets[0]), timeout=120)
        assert result.status.code == Status.OK


def test_a_link_that_is_cut_and_heals_loses_nothing(server, packets):
    async def scenario():
        async with (
            Relay(server[1], LinkSpec.parse("10mbit,1ms")) as relay,
            Session(f"127.0.0.1:{relay.port}", PATIENT) as session,
        ):

            async def heal():
                while session.connected:  # until it has given the old connection up
                    await asyncio.sleep(0.01)
                relay.restore()

            outcomes = []
            for number in range(90):
                await session.room()
                outcomes.append(session.send(payload(packets[number % 30])))
                if number == 40:
                    relay.cut()
                    healing = asyncio.create_task(heal())
            await healing
            return [await outcome for outcome in outcomes], session.reconnects

    outcomes, reconnects = asyncio.run(asyncio.wait_for(scenario(), 250))
    assert Counter(o.status for o in outcomes) == {"OK": 90}
    assert len({o.frame_id for o in outcomes}) == 90
    assert reconnects >= 1  # it did not wait for the old connection


def test_a_frozen_server_answers_when_it_thaws(server, packets):
    pid, address = server

    async def scenario():
        async with Session(address, PATIENT) as session:
            outcomes = []
            for number in range(60):
                await session.room()
                outcomes.append(session.send(payload(packets[number % 30])))
                if number == 20:
                    os.kill(pid, signal.SIGSTOP)
                    asyncio.get_running_loop().call_later(5, os.kill, pid, signal.SIGCONT)
            return [await outcome for outcome in outcomes]

    try:
        outcomes = asyncio.run(asyncio.wait_for(scenario(), 250))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert Counter(o.status for o in outcomes) == {"OK": 60}


def test_who_never_reads_holds_up_nobody_and_fills_no_memory(server, packets):
    pid, address = server
    sending = 20_000

    async def scenario():
        async with stub_of(address) as greedy:
            stream = greedy.Stream()
            sent = 0

            async def pour():
                nonlocal sent
                for sent in range(sending):
                    await stream.write(Frame(frame_id=sent, packet=packets[0], tasks=()))

            pouring = asyncio.create_task(pour())
            await asyncio.wait({pouring}, timeout=5)
            before = psutil.Process(pid).memory_info().rss
            for _ in range(20):
                await is_well(address, packets)
            grown = psutil.Process(pid).memory_info().rss - before
            pouring.cancel()
            stream.cancel()
            return grown

    grown = asyncio.run(asyncio.wait_for(scenario(), 250))
    assert grown < 64 << 20
    asyncio.run(is_well(address, packets))


def test_half_open_connections_hold_up_nobody(server, packets):
    host, port = server[1].rsplit(":", 1)
    silent = [socket.create_connection((host, int(port))) for _ in range(200)]
    try:
        for number, connection in enumerate(silent):
            if number % 2:
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # and nothing after it
        asyncio.run(asyncio.wait_for(is_well(server[1], packets), 200))
    finally:
        for connection in silent:
            connection.close()


def test_a_message_of_64_mib_breaks_its_stream_alone(server, packets):
    async def answer(stream, frame):
        await stream.write(frame)
        return await stream.read()

    async def scenario():
        async with stub_of(server[1]) as stub:
            stream = stub.Stream()
            first = await answer(stream, Frame(frame_id=1, packet=packets[0]))
            with pytest.raises(grpc.aio.AioRpcError) as broken:
                await answer(stream, Frame(frame_id=2, packet=bytes(64 << 20)))
            again = await stub.Infer(Frame(frame_id=3, packet=packets[0]), timeout=120)
            return first, broken.value.code(), again

    first, code, again = asyncio.run(asyncio.wait_for(scenario(), 250))
    assert first.status.code == again.status.code == Status.OK
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_replayed_and_altered_frames_are_each_answered_by_name(server, packets):
    rng = np.random.default_rng(1)
    frames = []
    for number in range(ALTERED):
        data = bytearray(packets[rng.integers(len(packets))])
        for _ in range(rng.integers(0, 3)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        frames.append(Frame(frame_id=number // 2, packet=bytes(data)))  # every id twice

    async def scenario():
        async with stub_of(server[1]) as stub:
            stream = stub.Stream()

            async def pour():
                for frame in frames:
                    await stream.write(frame)
                await stream.done_writing()

            pouring = asyncio.create_task(pour())
            answers = [answer async for answer in stream]
            await pouring
            return answers

    answers = asyncio.run(asyncio.wait_for(scenario(), 280))
    assert Counter(a.frame_id for a in answers) == Counter(f.frame_id for f in frames)
    codes = Counter(a.status.code for a in answers)
    assert Status.INTERNAL not in codes
    assert codes[Status.OK] > 1_000
    assert len(codes) >= 4


def test_frames_cancelled_by_half_leave_the_others_and_the_memory_alone(server, packets):
    pid, address = server

    async def one(stub, number):
        call = stub.Infer(Frame(frame_id=number, packet=packets[number % 30]), timeout=120)
        if number % 2:
            await asyncio.sleep(0)
            call.cancel()
            return None
        return (await call).status.code

    async def storm(count):
        async with stub_of(address) as stub:
            found = []
            for start in range(0, count, 50):
                batch = (one(stub, number) for number in range(start, start + 50))
                found += await asyncio.gather(*batch, return_exceptions=True)
            return found

    asyncio.run(storm(500))
    before = psutil.Process(pid).memory_info().rss
    found = asyncio.run(asyncio.wait_for(storm(4_000), 240))
    assert Counter(code for code in found if code is not None and code != 0) == {}
    assert sum(code == Status.OK for code in found) == 2_000
    assert psutil.Process(pid).memory_info().rss - before < 0.05 * before


def test_a_full_disk_at_a_fetch_is_one_line_and_leaves_no_half_bundle(server, tmp_path):
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    cache = tmp_path / "cache"

    def fetch(limit: int | None):
        def full():
            if limit is not None:  # no file beyond that many bytes, as on a disk that is full
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run(
            [sys.executable, "-m", "narrows", "edge", str(tmp_path / "red.png"), "--server",
             server[1], "--bundle", "tiny", "--json"],
            env=os.environ | {"XDG_CACHE_HOME": str(cache)}, preexec_fn=full,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    full = fetch(2_000)
    assert full.returncode == 2
    assert len(full.stderr.strip().splitlines()) == 1
    assert full.stderr.startswith("narrows: ")
    assert not list(cache.rglob("manifest.json"))
    assert fetch(None).returncode == 0  # the disk has room again


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_an_hour_off_still_trusts_the_fleets_certificates(tmp_path, hours):
    authority = Authority.create(tmp_path / "ca")
    authority.enroll("camera", tmp_path / "camera")
    authority.serve("here", ["localhost"], tmp_path / "server")

    def certificate(path):
        return x509.load_pem_x509_certificate((tmp_path / path).read_bytes())

    store = Store([certificate("ca/ca.crt")])
    then = datetime.now(timezone.utc) + timedelta(hours=hours)
    policy = PolicyBuilder().store(store)
    policy.time(then).build_client_verifier().verify(certificate("camera/device.crt"), [])
    verifier = policy.time(then).build_server_verifier(x509.DNSName("localhost"))
    verifier.verify(certificate("server/server.crt"), [])
    late = policy.time(then + timedelta(days=8)).build_client_verifier()
    with pytest.raises(VerificationError):
        late.verify(certificate("camera/device.crt"), [])
