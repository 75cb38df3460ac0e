"""Compiled tails: the same answers, built once, never from a place that others can write to."""

import asyncio
import logging
import shutil
from pathlib import Path

import grpc
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.models.bundle import load_tail
from narrows.models.cores import Way
from narrows.models.tail_builds import TailBuilds, cache_folder
from narrows.models.tail_choice import Load, choose_core
from narrows.models.tail_options import TailOptions
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings

pytestmark = [
    pytest.mark.slow,  # a build takes a minute
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
]
LOAD = Load(threads=1, max_batch=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shipped():
    """A trained network: an untrained one's answers are all alike."""
    return Path(__file__).parents[2] / "models" / "zoo" / "classify"


def choose(bundle, tail):
    runner, manifest = load_tail(bundle), Manifest.load(bundle)
    options = TailOptions("cpu", tail, "fp32")
    runner.core = choose_core(runner.tail, bundle, manifest, runner.device, options, LOAD)
    return runner


@pytest.fixture(scope="module")
def built(shipped, tmp_path_factory):
    """A cache with one build; gives the cache's place."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        assert choose(shipped, "compiled").core.way == Way(True, "fp32")
    return cache


@pytest.fixture
def cache(built, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(built))
    return built


@pytest.fixture
def own_cache(built, tmp_path, monkeypatch):
    """A copy, to be damaged."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shutil.copytree(built, tmp_path / "cache")))
    (package,) = cache_folder().glob("*/fp32.pt2")
    return package


@pytest.mark.parametrize("shape", [(1, 14, 14), (1, 1, 1), (3, 14, 21), (7, 9, 3), (16, 5, 5)])
def test_one_build_answers_every_batch_and_size_as_the_eager_tail(cache, shipped, shape):
    latents = np.random.default_rng(0).normal(0, 2, (shape[0], 64, *shape[1:])).astype(np.float32)
    exact, compiled = load_tail(shipped), choose(shipped, "compiled")
    found, expected = compiled.run(latents), exact.run(latents)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
    with torch.inference_mode():
        outputs = zip(
            compiled.core(torch.from_numpy(latents)), exact.core(torch.from_numpy(latents)),
            strict=True,
        )  # fmt: skip
        for ours, eager in outputs:
            limit = 1e-4 * float(eager.abs().max())
            torch.testing.assert_close(ours, eager, atol=limit, rtol=0)


def test_serving_compiles_nothing(cache, shipped, caplog):
    from torch._dynamo.utils import counters

    codec = load_frame_codec(shipped, Manifest.load(shipped))
    rng = np.random.default_rng(0)
    frames = [
        inference_pb2.Frame(frame_id=i, packet=codec.encode(latent, i % 3))
        for i, size in enumerate([(4, 4), (4, 7), (8, 4), (1, 1)] * 8)
        for latent in [rng.normal(0, 1, (64, *size)).astype(np.float32)]
    ]
    settings = ServerSettings(
        (shipped,), threads=1, max_batch=8, tail=TailOptions("cpu", "compiled", "fp32")
    )

    async def serve():
        replica = await Replica.start(settings)
        ready, compiled = files(cache), dict(counters["frames"])
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{replica.port}") as channel:
                stub = inference_pb2_grpc.InferenceStub(channel)
                results = await asyncio.gather(*(stub.Infer(frame) for frame in frames))
        finally:
            await replica.drain()
        return results, ready, compiled

    results, ready, compiled = asyncio.run(serve())
    assert all(not result.status.code for result in results)
    assert {result.timing.batch_size for result in results} - {1}
    assert not [r for r in caplog.records if r.name.startswith("narrows.models")]  # no fallback
    assert files(cache) == ready
    assert dict(counters["frames"]) == compiled


def test_a_build_is_made_once(cache, shipped):
    before = files(cache)
    assert choose(shipped, "compiled").core.way.compiled
    assert files(cache) == before


def test_what_is_built_competes_where_nothing_is_asked(cache, shipped, caplog):
    caplog.set_level(logging.INFO)
    choose(shipped, "auto")
    assert "compiled fp32" in caplog.text
    assert choose(shipped, "eager").core.way == Way(False, "fp32")


def test_a_damaged_build_is_not_used(own_cache, shipped, caplog):
    data = bytearray(own_cache.read_bytes())
    data[len(data) // 2] ^= 1
    own_cache.write_bytes(data)
    assert choose(shipped, "auto").core.way == Way(False, "fp32")
    assert "damaged" in caplog.text


def test_a_build_that_is_no_package_is_not_used(own_cache, shipped, caplog):
    import hashlib

    own_cache.write_bytes(b"no package")
    own_cache.with_suffix(".sha256").write_text(hashlib.sha256(b"no package").hexdigest())
    assert choose(shipped, "auto").core.way == Way(False, "fp32")
    assert "a compiled tail is not used" in caplog.text


@pytest.mark.parametrize("place", ["package", "its folder", "all builds' folder"])
def test_a_build_that_others_can_write_to_is_not_used(own_cache, shipped, caplog, place):
    path = {
        "package": own_cache,
        "its folder": own_cache.parent,
        "all builds' folder": own_cache.parent.parent,
    }[place]
    path.chmod(path.stat().st_mode | 0o020)
    assert choose(shipped, "auto").core.way == Way(False, "fp32")
    assert "of this user's alone" in caplog.text


def test_a_link_to_a_build_is_not_followed(own_cache, shipped, caplog):
    elsewhere = own_cache.rename(own_cache.with_name("elsewhere"))
    own_cache.symlink_to(elsewhere)
    assert choose(shipped, "auto").core.way == Way(False, "fp32")
    assert "of this user's alone" in caplog.text


def test_without_a_compiler_the_tail_runs_eagerly(shipped, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    assert choose(shipped, "compiled").core.way == Way(False, "fp32")
    assert "the tail runs eagerly, no build" in caplog.text


def test_where_the_cache_cannot_be_written_the_tail_runs_eagerly(
    shipped, tmp_path, monkeypatch, caplog
):
    (tmp_path / "narrows").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert choose(shipped, "compiled").core.way == Way(False, "fp32")
    assert "the tail runs eagerly, no build" in caplog.text


def test_another_version_of_a_bundle_has_builds_of_its_own(cache, shipped, tmp_path):
    from bundles import renew

    bundle = shutil.copytree(shipped, tmp_path / "bundle")
    renewed = renew(bundle, "2")
    assert TailBuilds(bundle, renewed, CPU).load("fp32") is None
    assert TailBuilds(shipped, Manifest.load(shipped), CPU).load("fp32") is not None


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
