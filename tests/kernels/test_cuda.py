"""The GPU's head, coder and field product: emulated, compiled, and run where there is a GPU."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from coding import laplace_symbols, laplace_tables
from safetensors.numpy import load_file

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import INT8_HEAD, INT8_LAYERS, Manifest
from narrows.kernels import coder, cuda, field, head
from narrows.kernels.cuda.head import Head

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # it compiles

ROOT = Path(__file__).parents[2]
KERNELS, ZOO = ROOT / "kernels", ROOT / "models" / "zoo"
SCALES = [0.3, 1.0, 4.0, 20.0]
needs_gpu = pytest.mark.skipif(not cuda.available(), reason="no GPU")


def compiler(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"no {name}")


def program(name, library, *more):
    """A native test, built against the library."""
    sources = [Path(__file__).parent / "native" / f"{name}.cc", *more]
    flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    subprocess.run(
        [compiler("g++"), *flags, f"-I{KERNELS}", *sources, library / "libkernels.a", "-pthread",
         "-o", library / name],
        check=True,
    )  # fmt: skip
    return library / name


def test_a_warp_writes_and_reads_the_native_coders_bytes(library):
    command = [program("cuda_emulation", library), "1", "100"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("101 payloads equal")


def test_blocks_multiply_as_the_native_field_product_does(library):
    command = [program("cuda_field", library), "1", "20"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == "40 products equal\n"


def test_blocks_run_a_head_as_the_native_one_does(library):
    reads = [KERNELS / "device" / f"{name}.cc" for name in ("json", "layers", "tensors")]
    bundles = [ZOO / "classify", ZOO / "scene"]
    command = [program("cuda_head", library, *reads), "1", "100", *bundles]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == "104 latents equal\n"


@pytest.mark.parametrize("architecture", ["sm_87", "sm_90", "sm_120"])
@pytest.mark.parametrize(("source", "kernels"), [("coder", 4), ("field", 2), ("head", 2)])
def test_kernels_compile_without_spills(source, kernels, architecture, tmp_path):
    nvcc = compiler("nvcc")
    command = [nvcc, "-std=c++20", "-O3", f"-I{KERNELS}", "-cubin", f"-arch={architecture}"]
    result = subprocess.run(
        [*command, "-Xptxas", "-v", "-o", tmp_path / "cubin", KERNELS / "cuda" / f"{source}.cu"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", result.stderr)
    assert len(spills) == kernels, result.stderr
    assert set(spills) == {("0", "0")}


def test_without_the_extension_a_call_says_how_to_build_it(monkeypatch):
    monkeypatch.setattr(cuda, "_cuda", None)
    tables, ones = laplace_tables(SCALES).arrays, np.ones(4, np.float32)
    assert not cuda.available()
    with pytest.raises(RuntimeError, match="NARROWS_CUDA"):
        cuda.encode_batch(np.zeros((1, 4, 2, 2), np.float32), ones, ones, tables)
    with pytest.raises(RuntimeError, match="NARROWS_CUDA"):
        Head(*int8_head("classify"))
    residues = np.zeros((2, 2), np.uint64)
    with pytest.raises(RuntimeError, match="NARROWS_CUDA"):
        cuda.field_matmul(residues, residues, field.P61, residues)


@needs_gpu
@pytest.mark.parametrize("lanes", [0, 1, 2, 8, 32, 64])
def test_the_gpu_writes_and_reads_the_native_coders_bytes(lanes):
    torch = pytest.importorskip("torch")
    tables = laplace_tables(SCALES).arrays
    frames = [laplace_symbols(SCALES, 33, 21, seed) for seed in range(9)]
    gain = np.array([1.0, 0.5, 2.0, 1.5], np.float32)
    median = np.array([0.0, 0.25, -0.3, 0.1], np.float32)
    latents = np.stack(frames).astype(np.float32)
    latents = (latents + median[:, None, None]) / gain[:, None, None]
    found = cuda.encode_batch(torch.from_numpy(latents).cuda(), gain, median, tables, lanes)
    assert found == [coder.encode_latent(x, gain, median, tables, lanes) for x in latents]

    coded = [(f.payload, f.lanes, f.tail) for f in found]
    coded[3] = (coded[3][0][:-2], *coded[3][1:])
    out = torch.empty(latents.shape, device="cuda")
    errors = cuda.decode_batch(coded, tables, 1 / gain, median, out)
    expected, reasons = coder.decode_latents(coded, tables, 1 / gain, median, 33, 21, 1)
    assert [e is None for e in errors] == [r is None for r in reasons]
    np.testing.assert_array_equal(out.cpu().numpy(), expected)


def int8_head(bundle: str):
    """A shipped bundle's layers and tensors."""
    manifest = Manifest.load(ZOO / bundle)
    return manifest.head[INT8_LAYERS], load_file(ZOO / bundle / INT8_HEAD)


@needs_gpu
@pytest.mark.parametrize("bundle", ["classify", "scene"])
def test_the_gpu_runs_a_head_as_the_native_one_does(bundle):
    on_gpu, here = Head(*int8_head(bundle)), head.Head(*int8_head(bundle))
    rng = np.random.default_rng(0)
    for size in [(224, 224), (208, 336), (16, 16), (224, 224)]:
        picture = rng.integers(0, 256, (*size, 3), np.uint8)
        np.testing.assert_array_equal(on_gpu.run(picture), here.run(picture))


@needs_gpu
@pytest.mark.parametrize("size", [(224, 224), (64, 448), (16, 16)], ids=str)
def test_the_gpu_makes_a_pictures_packet_as_the_cpu_does(size):
    on_gpu, here = Head(*int8_head("classify")), head.Head(*int8_head("classify"))
    codec = load_frame_codec(ZOO / "classify", Manifest.load(ZOO / "classify"))
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    for point in codec.points:
        arrays = point.gain, point.median, point.tables.arrays
        expected = coder.encode_latent(here.run(picture), *arrays)
        assert on_gpu.encode(picture, *arrays) == expected


@needs_gpu
@pytest.mark.parametrize("p", [field.P31, field.P61])
@pytest.mark.parametrize(
    "shape", [(1, 50, 4096), (449, 899, 32), (65, 17, 130), (3, 0, 4)], ids=str
)
def test_the_gpu_multiplies_as_the_native_field_product_does(shape, p):
    torch = pytest.importorskip("torch")
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, p, (m, k), np.uint64), rng.integers(0, p, (k, n), np.uint64)
    out = torch.empty((m, n), dtype=torch.uint64, device="cuda")
    on_gpu = [torch.from_numpy(factor).cuda() for factor in (a, b)]
    cuda.field_matmul(*on_gpu, p, out)
    np.testing.assert_array_equal(out.cpu().numpy(), field.matmul(a, b, p))
    if k:
        b[-1, -1] = p
        with pytest.raises(ValueError, match="below"):
            cuda.field_matmul(on_gpu[0], torch.from_numpy(b).cuda(), p, out)
