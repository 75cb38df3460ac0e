"""A replica behind mutual TLS: strangers, the revoked, quotas. Real certificates and sockets."""

import asyncio
import shutil

import grpc
import pytest

from narrows.codec.signature import sign_bundle
from narrows.edge.fetch import fetch_bundle
from narrows.errors import BundleError, ConfigError, LinkError
from narrows.protos.narrows.v1 import (
    bundles_pb2,
    bundles_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
)
from narrows.security.authority import Authority
from narrows.security.credentials import device_credentials
from narrows.server.guard import Guard
from narrows.server.quotas import Allowance, Quotas
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings

Status = inference_pb2.FrameStatus


@pytest.fixture
def authority(tmp_path) -> Authority:
    made = Authority.create(tmp_path / "ca")
    made.serve("here", ["127.0.0.1"], tmp_path / "server")
    made.enroll("camera", tmp_path / "camera")
    return made


@pytest.fixture
def guarded(tiny_bundle, authority, tmp_path):
    """Run a coroutine against a replica behind TLS: guarded(scenario, **settings)."""

    def run(scenario, bundle=tiny_bundle, **settings):
        async def whole():
            told = ServerSettings((bundle,), threads=1, tls=tmp_path / "server", **settings)
            replica = await Replica.start(told)
            try:
                return await asyncio.wait_for(scenario(replica), 200)
            finally:
                await replica.drain()

        return asyncio.run(whole())

    return run


def channel(replica: Replica, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    address = f"127.0.0.1:{replica.port}"
    if credentials is None:
        return grpc.aio.insecure_channel(address)
    return grpc.aio.secure_channel(address, credentials)


async def refusal(replica: Replica, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    """How every service answers to such credentials: all alike."""
    codes = set()
    async with channel(replica, credentials) as opened:
        stub = inference_pb2_grpc.InferenceStub(opened)
        bundles = bundles_pb2_grpc.BundlesStub(opened)
        stream = stub.Stream()

        async def read(call):
            async for _ in call:
                pass

        for call in (
            stub.Ping(inference_pb2.PingRequest()),
            stub.Infer(inference_pb2.Frame()),
            bundles.List(bundles_pb2.ListBundlesRequest()),
            read(bundles.Fetch(bundles_pb2.FetchBundleRequest())),
            stream.read(),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            codes.add(refused.value.code())
    (code,) = codes
    return code


def test_an_enrolled_device_is_answered(guarded, packets, tmp_path):
    async def scenario(replica):
        async with channel(replica, device_credentials(tmp_path / "camera")) as opened:
            stub = inference_pb2_grpc.InferenceStub(opened)
            result = await stub.Infer(inference_pb2.Frame(frame_id=1, packet=packets[0]))
            stream = stub.Stream()
            for number, packet in enumerate(packets):
                await stream.write(inference_pb2.Frame(frame_id=number, packet=packet))
            await stream.done_writing()
            answers = [answer async for answer in stream]
            return result, answers

    result, answers = guarded(scenario)
    assert result.status.code == Status.OK
    assert sorted(a.frame_id for a in answers) == list(range(len(packets)))
    assert all(a.status.code == Status.OK for a in answers)


def test_strangers_are_refused_by_every_service(guarded, authority, tmp_path):
    other = Authority.create(tmp_path / "other-ca")
    other.enroll("camera", tmp_path / "foreign")
    authority.enroll("late", tmp_path / "late", days=-0.01)
    ca = (tmp_path / "ca" / "ca.crt").read_bytes()
    server_pair = [(tmp_path / "server" / f"server.{end}").read_bytes() for end in ("key", "crt")]
    foreign_pair = [(tmp_path / "foreign" / f"device.{end}").read_bytes() for end in ("key", "crt")]

    async def scenario(replica):
        return {
            "plain text": await refusal(replica, None),
            "no certificate": await refusal(replica, grpc.ssl_channel_credentials(ca)),
            "wrong authority": await refusal(
                replica, grpc.ssl_channel_credentials(ca, *foreign_pair)
            ),
            "expired": await refusal(replica, device_credentials(tmp_path / "late")),
            "a server's": await refusal(replica, grpc.ssl_channel_credentials(ca, *server_pair)),
            "trusts another": await refusal(replica, device_credentials(tmp_path / "foreign")),
        }

    codes = guarded(scenario)
    unavailable = grpc.StatusCode.UNAVAILABLE  # the handshake fails: no call is made
    assert {k: v for k, v in codes.items() if v != unavailable} in (
        {}, {"a server's": grpc.StatusCode.PERMISSION_DENIED},
    )  # fmt: skip


def test_a_revoked_device_is_out_without_a_restart(guarded, authority, packets, tmp_path):
    async def scenario(replica):
        credentials = device_credentials(tmp_path / "camera")
        async with channel(replica, credentials) as opened:
            stream = inference_pb2_grpc.InferenceStub(opened).Stream()
            await stream.write(inference_pb2.Frame(frame_id=1, packet=packets[0]))
            first = await stream.read()
            authority.revoke("camera")
            await stream.write(inference_pb2.Frame(frame_id=2, packet=packets[1]))
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stream.read()
        code = await refusal(replica, credentials)
        authority.enroll("camera", tmp_path / "again")
        async with channel(replica, device_credentials(tmp_path / "again")) as opened:
            stub = inference_pb2_grpc.InferenceStub(opened)
            again = await stub.Infer(inference_pb2.Frame(frame_id=3, packet=packets[2]))
        return first, ended.value.code(), code, again

    first, ended, code, again = guarded(scenario)
    assert first.status.code == again.status.code == Status.OK
    assert ended == code == grpc.StatusCode.PERMISSION_DENIED


def test_quotas_are_per_device_and_read_again(guarded, authority, packets, tmp_path):
    authority.enroll("other", tmp_path / "other")
    quotas = tmp_path / "quotas.toml"
    quotas.write_text("[devices.camera]\nframes_per_second = 0.001\n")

    async def ask(replica, name, count):
        async with channel(replica, device_credentials(tmp_path / name)) as opened:
            stub = inference_pb2_grpc.InferenceStub(opened)
            frames = [inference_pb2.Frame(frame_id=i, packet=packets[i]) for i in range(count)]
            return [(await stub.Infer(frame)).status for frame in frames]

    async def scenario(replica):
        slow, free = await ask(replica, "camera", 3), await ask(replica, "other", 3)
        quotas.write_text('[devices.camera]\nbundles = ["another"]\n')
        return slow, free, await ask(replica, "camera", 1)

    slow, free, (forbidden,) = guarded(scenario, quotas=quotas)
    assert [s.code for s in slow] == [Status.OK, Status.QUOTA_EXCEEDED, Status.QUOTA_EXCEEDED]
    assert slow[1].retry_after_ms > 900_000
    assert {s.code for s in free} == {Status.OK}
    assert forbidden.code == Status.NOT_ALLOWED
    assert "'tiny'" in forbidden.message


def test_a_bucket_holds_a_second_and_fills_at_its_rate():
    bucket = Allowance()
    taken = sum(bucket.take(10, now_s=0.0) == 0 for _ in range(30))
    assert taken == 10
    assert bucket.take(10, now_s=0.0) == pytest.approx(0.1)
    taken = sum(bucket.take(10, now_s=0.001 * ms) == 0 for ms in range(2000))
    assert 19 <= taken <= 20
    assert Allowance().take(None) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [("[default]\nfps = 3", "default.fps"), ("[default", "quotas.toml"),
     ("[devices.a]\nframes_per_second = 0", "devices.a.frames_per_second")],
)  # fmt: skip
def test_a_wrong_file_of_quotas_is_named(tmp_path, text, said):
    path = tmp_path / "quotas.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        Quotas(path)


def test_quotas_need_names(tmp_path):
    (tmp_path / "quotas.toml").write_text("")
    with pytest.raises(ConfigError, match="--quotas without --tls"):
        Guard(None, tmp_path / "quotas.toml")


def test_a_bundle_comes_over_tls_and_signed(guarded, tiny_bundle, tmp_path):
    signed = shutil.copytree(tiny_bundle, tmp_path / "signed")
    trust = sign_bundle(signed, tmp_path / "signing")
    other = sign_bundle(shutil.copytree(tiny_bundle, tmp_path / "copy"), tmp_path / "foreign")
    camera = tmp_path / "camera"

    async def scenario(replica):
        address = f"127.0.0.1:{replica.port}"

        def fetch(tls, trust, cache="cache", timeout_s=30.0):
            return fetch_bundle(address, "tiny", tmp_path / cache, timeout_s, tls, trust)

        folder = await asyncio.to_thread(fetch, camera, trust)
        with pytest.raises(LinkError):
            await asyncio.to_thread(fetch, None, trust, timeout_s=1.0)
        for cache in ("cache", "new"):  # neither what is kept nor what comes
            with pytest.raises(BundleError, match="not made by"):
                await asyncio.to_thread(fetch, camera, other, cache)
        return folder

    folder = guarded(scenario, bundle=signed, trust=trust)
    assert (folder / "manifest.sig").exists()
    with pytest.raises(BundleError, match="not made by"):
        guarded(scenario, bundle=signed, trust=other)
