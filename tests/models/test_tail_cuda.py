"""On a GPU a tail answers as on the CPU, whichever of them decodes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from bundles import TASKS, write_tiny_scene

from narrows.codec import bitstream
from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.kernels import cuda
from narrows.models.bundle import load_tail
from narrows.models.cores import eager_core

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
TOLERANCE = 5e-3  # of a probability: convolutions multiply in TF32


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "scene"
    write_tiny_scene(path)
    return path


def latents(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, (count, 6, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_gpu_answers_every_task_as_the_cpu(scene, precision):
    tasks, sizes = ("classification", *TASKS), [(32, 40)] * 3
    on_cpu, on_gpu = load_tail(scene), load_tail(scene, "cuda")
    on_gpu.core = eager_core(on_gpu.tail, precision)
    expected, found = (r.answers(latents(3), sizes, tasks) for r in (on_cpu, on_gpu))
    tolerance = TOLERANCE if precision == "fp32" else 0.03
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=tolerance)
        assert ours.mask.shape == theirs.mask.shape
        assert (ours.mask == theirs.mask).mean() > 0.95
        assert ours.detections.boxes.shape[1] == 4


def test_the_gpu_answers_pictures_as_the_cpu(scene):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    expected, found = (load_tail(scene, d).run_unsplit(pictures) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.skipif(not cuda.available(), reason="built without CUDA")
def test_packets_decoded_on_the_gpu_are_those_decoded_on_the_cpu(scene):
    codec = load_frame_codec(scene, Manifest.load(scene))
    packets = [bitstream.parse(codec.encode(latent, 1)) for latent in latents(5)]
    out = torch.empty((5, 6, 4, 5), device="cuda")
    stream = torch.cuda.current_stream().cuda_stream
    assert codec.decode_on_gpu(packets, out, stream) == [None] * 5
    np.testing.assert_array_equal(out.cpu().numpy(), np.stack(codec.decode(packets)))
