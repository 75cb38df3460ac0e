"""Where a head runs, and a GPU that is not there, fails, or errs: no frame is lost by any of it."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import narrows
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import INT8_HEAD, INT8_LAYERS, Manifest
from narrows.edge.board.checks import check_head
from narrows.edge.encoder import FeatureEncoder, load_feature_encoder
from narrows.edge.gpu import GpuHead, choose_head
from narrows.edge.gpu_encoder import GpuEncoder
from narrows.edge.head import load_head
from narrows.errors import ConfigError
from narrows.kernels import BACKEND, coder
from narrows.kernels.head import Head, reference

pytestmark = pytest.mark.skipif(BACKEND != "native", reason="the native head is not built here")
SIDE = 32
FAULT = "an illegal memory access was encountered"


class OutOfOrder:
    """A head on a GPU that fails as CUDA does, from its `good`-th picture on."""

    def __init__(self, head: Head, good: int):
        self._head, self._good, self.calls, self.plan = head, good, 0, head.plan

    def run(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls += 1
        if self.calls > self._good:
            raise RuntimeError(FAULT)
        return self._head.run(picture)

    def encode(self, picture, gain, median, tables):
        return coder.encode_latent(self.run(picture), gain, median, tables)


class ByNumpy:
    """The same latents a hundred times slower."""

    def __init__(self, head: Head):
        self._plan = head.plan

    def run(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        return reference.run(self._plan, picture)


@pytest.fixture
def head(tiny_bundle: Path) -> Head:
    layers = Manifest.load(tiny_bundle).head[INT8_LAYERS]
    return Head(layers, load_file(tiny_bundle / INT8_HEAD))


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers when it is counted."""
    monkeypatch.setattr("narrows.kernels.cuda._cuda", SimpleNamespace(devices=lambda: 1))


def fails(error: Exception) -> Callable[[], Head]:
    def load() -> Head:
        raise error

    return load


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(40 + 8 * (i % 3), 64) for i in range(count)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]


@pytest.mark.parametrize(
    ("extension", "why"),
    [(None, "built without CUDA"), (SimpleNamespace(devices=lambda: 0), "no GPU")],
)
def test_without_a_gpu_the_cpu_runs_the_head_and_nothing_is_said(
    head, extension, why, monkeypatch, caplog
):
    monkeypatch.setattr("narrows.kernels.cuda._cuda", extension)
    choice = choose_head(head, fails(AssertionError("a GPU was asked")), SIDE)
    assert choice.head is head
    assert (choice.where, choice.sound) == (coder.instruction_set(), True)
    assert why in choice.why
    assert not caplog.records


@pytest.mark.usefixtures("a_gpu")
@pytest.mark.parametrize(
    "load",
    [
        lambda head: fails(RuntimeError(FAULT)),  # at its first call
        lambda head: fails(ValueError("a GELU's curve is each machine's own")),
        lambda head: lambda: OutOfOrder(head, 1),  # while it is measured
        lambda head: lambda: SimpleNamespace(run=lambda picture: head.run(picture) + 1e-6),
    ],
)
def test_a_gpu_that_cannot_be_trusted_is_named_once_and_left_alone(head, load, caplog):
    choice = choose_head(head, load(head), SIDE)
    assert choice.head is head
    assert not choice.sound
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert "the head runs on the CPU" in told.getMessage()


@pytest.mark.usefixtures("a_gpu")
def test_the_faster_of_both_is_taken(head):
    slow = ByNumpy(head)
    assert choose_head(slow, lambda: head, SIDE).where == "cuda"
    choice = choose_head(head, lambda: slow, SIDE)
    assert choice.head is head
    assert choice.sound
    assert "ms on the GPU" in choice.why


def test_a_gpu_that_fails_on_the_way_costs_no_frame(tiny_bundle, head, caplog):
    manifest = Manifest.load(tiny_bundle)
    codec, broken = load_frame_codec(tiny_bundle, manifest), OutOfOrder(head, 2)
    encoder = FeatureEncoder(manifest.input, GpuHead(broken, head), codec)
    alone = load_feature_encoder(tiny_bundle, manifest, "int8")
    for picture in pictures(6):
        assert encoder.encode(picture, 0).data == alone.encode(picture, 0).data
    assert broken.calls == 3  # it is not asked again
    (told,) = caplog.records
    assert FAULT in told.getMessage()


def test_head_and_coder_on_a_gpu_make_the_cpus_packets_before_and_after_it_fails(
    tiny_bundle, head, caplog
):
    manifest = Manifest.load(tiny_bundle)
    codec, broken = load_frame_codec(tiny_bundle, manifest), OutOfOrder(head, 2)
    alone = load_feature_encoder(tiny_bundle, manifest, "int8")
    encoder = GpuEncoder(manifest.input, broken, codec, alone)
    for picture in pictures(5):
        found, expected = encoder.encode(picture, 1), alone.encode(picture, 1)
        assert (found.data, found.width, found.view) == (
            expected.data,
            expected.width,
            expected.view,
        )
    assert broken.calls == 3
    assert len(caplog.records) == 1


def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(tiny_bundle, monkeypatch):
    monkeypatch.setattr("narrows.kernels.cuda._cuda", None)
    with pytest.raises(ConfigError, match="--head cuda: built without CUDA"):
        load_head(tiny_bundle, Manifest.load(tiny_bundle), "cuda")


def test_the_doctor_says_where_the_head_runs_and_why(tiny_bundle):
    check = check_head(tiny_bundle)
    assert check.found.startswith("int8 by ")
    assert not check.required
    assert not check_head(tiny_bundle / "nowhere").ok
    done = narrows("device", "doctor", "--bundle", str(tiny_bundle), "--json")
    assert '"int8 by ' in done.stdout
