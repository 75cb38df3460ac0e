"""A device that has several addresses: streams spread over them, the unfit ones are passed over."""

import asyncio
import contextlib
import socket

import grpc
import pytest
from bundles import write_tiny_bundle

from narrows.edge import steering
from narrows.edge.link import LinkSettings
from narrows.edge.session import Session
from narrows.edge.steering import least_loaded
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings


@contextlib.asynccontextmanager
async def replicas(*bundles):
    started = [await Replica.start(ServerSettings((bundle,), threads=1)) for bundle in bundles]
    try:
        yield [f"127.0.0.1:{replica.port}" for replica in started]
    finally:
        await asyncio.gather(*(replica.drain() for replica in started))


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 200))


@pytest.fixture
def nobody():
    """An address where a socket is bound and nothing answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(1)
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_the_server_with_fewer_streams_is_taken(tiny_bundle, monkeypatch):
    monkeypatch.setattr(steering, "PATIENCE_S", 30.0)  # here both are to be heard

    async def scenario():
        async with replicas(tiny_bundle, tiny_bundle) as (busy, free):
            async with contextlib.AsyncExitStack() as on:
                for _ in range(3):
                    await on.enter_async_context(Session(busy, LinkSettings(), "tiny"))
                while await streams_of(busy) < 3:
                    await asyncio.sleep(0.01)
                settings = LinkSettings()
                return [
                    await least_loaded((busy, free), settings, "tiny") == free for _ in range(12)
                ]

    assert run(scenario()) == [True] * 12  # blind choice would do so once in 4,096 runs


async def streams_of(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        reply = await inference_pb2_grpc.InferenceStub(channel).Ping(inference_pb2.PingRequest())
        return reply.streams


def test_a_server_without_the_bundle_and_one_that_is_dumb_are_passed_over(
    tiny_bundle, tmp_path, nobody
):
    write_tiny_bundle(tmp_path / "other", name="other")

    async def scenario():
        async with replicas(tiny_bundle, tmp_path / "other") as servers:
            settings = LinkSettings(connect_timeout_s=2.0)
            addresses = (*servers, nobody, "127.0.0.1:1")
            return [await least_loaded(addresses, settings, "tiny") == servers[0] for _ in range(6)]

    assert run(scenario()) == [True] * 6


def test_where_nobody_answers_any_address_is_as_good():
    async def scenario():
        addresses = ("127.0.0.1:1", "127.0.0.1:2")
        return await least_loaded(addresses, LinkSettings(), "") in addresses

    assert run(scenario())


def test_when_a_server_ends_its_streams_go_to_the_other(tiny_bundle):
    async def scenario():
        async with replicas(tiny_bundle) as (stays,):
            async with replicas(tiny_bundle) as (goes,):
                settings = LinkSettings(backoff_initial_s=0.01)
                session = await Session(f"{stays},{goes}", settings, "tiny").__aenter__()
                while session.address != goes:
                    await session.close()
                    session = await Session(f"{stays},{goes}", settings, "tiny").__aenter__()
            while not (session.address == stays and session.connected):
                await asyncio.sleep(0.01)
            await session.close()

    run(scenario())
