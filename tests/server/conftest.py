"""A real replica on loopback, and packets it accepts."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.protos.narrows.v1 import inference_pb2_grpc
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings

Scenario = Callable[[Replica, inference_pb2_grpc.InferenceStub], Awaitable[Any]]


@pytest.fixture
def codec(tiny_bundle: Path) -> FrameCodec:
    return load_frame_codec(tiny_bundle, Manifest.load(tiny_bundle))


@pytest.fixture
def packets(codec: FrameCodec) -> list[bytes]:
    """Thirty packets, ten of each operating point."""
    rng = np.random.default_rng(0)
    latents = rng.normal(0, 1, (30, codec.channels, 4, 4)).astype(np.float32)
    return [codec.encode(latent, i % 3) for i, latent in enumerate(latents)]


@pytest.fixture
def served(tiny_bundle: Path):
    """Run a coroutine against a fresh replica: served(scenario, **settings)."""

    def run(scenario: Scenario, **settings: Any) -> Any:
        async def whole() -> Any:
            replica = await Replica.start(ServerSettings((tiny_bundle,), threads=1, **settings))
            async with grpc.aio.insecure_channel(f"127.0.0.1:{replica.port}") as channel:
                try:
                    stub = inference_pb2_grpc.InferenceStub(channel)
                    stub.channel = channel
                    return await asyncio.wait_for(scenario(replica, stub), 200)
                finally:
                    await replica.drain()

        return asyncio.run(whole())

    return run
