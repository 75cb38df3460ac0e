"""The bare install is the device: no torch, no ray, with and without a compiler."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from time import monotonic

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LIMIT_BYTES = 150 << 20
DEVICE_BYTES = 80 << 20  # it has 66 MiB: a large library too many is seen


def installed(folder: Path, *options: str, **environment: str) -> Path:
    """`pip install .` in that environment; returns its interpreter."""
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", *options, str(ROOT)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index in reach")
    assert done.returncode == 0, done.stderr[-2000:]
    return python


def said(python: Path, code: str) -> str:
    run = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture(scope="module")
def device(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "env"
    venv.create(folder, with_pip=True)
    return installed(folder)


def test_it_holds_no_server_package_and_has_the_native_coder(device):
    listed = subprocess.run(
        [device, "-m", "pip", "list"], capture_output=True, text=True, check=True
    )
    names = {line.split()[0].lower() for line in listed.stdout.splitlines()}
    assert not names & {"torch", "torchvision", "ray", "compressai", "flwr"}
    assert said(device, "from narrows.kernels import BACKEND; print(BACKEND)") == "native"


def test_with_onnx_runtime_loaded_it_stays_under_150_megabytes(device, tiny_bundle):
    code = (
        "import narrows.edge, psutil\n"
        "from pathlib import Path\n"
        "from narrows.codec.manifest import Manifest\n"
        "from narrows.edge.encoder import load_feature_encoder\n"
        "from PIL import Image\n"
        f"bundle = Path({str(tiny_bundle)!r})\n"
        "encoder = load_feature_encoder(bundle, Manifest.load(bundle))\n"
        "encoder.encode(Image.new('RGB', (64, 48)), 0)\n"
        "print(psutil.Process().memory_info().rss)"
    )
    assert int(said(device, code)) < LIMIT_BYTES


def test_it_sends_frames_and_prints_its_memory_and_start_up(device, tiny_bundle, tmp_path):
    pytest.importorskip("torch", reason="the server needs the server extra")
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    serve = [sys.executable, "-m", "narrows", "serve", str(tiny_bundle), "--port", "0", "--json"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        address = json.loads(server.stdout.readline())["address"]
        edge = [device, "-m", "narrows", "edge", str(tmp_path), "--server", address, "--json"]
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        began = monotonic()
        done = subprocess.run(
            edge, cwd="/", env=environment, capture_output=True, text=True, check=False
        )
        took_ms = (monotonic() - began) * 1e3
        server.terminate()
    assert done.returncode == 0, done.stderr
    *records, last = map(json.loads, done.stdout.splitlines())
    assert [r["status"] for r in records] == ["OK"]
    assert last["summary"]["peak_memory_bytes"] < DEVICE_BYTES
    assert 0 < last["summary"]["startup_ms"] < took_ms + 10  # a tick


def test_it_takes_part_in_a_vertical_session(device, tmp_path):
    (tmp_path / "columns.csv").write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(9)))
    join = [device, "-m", "narrows", "vertical", "join", "columns.csv", "--name", "bank"]
    join += ["--coordinator", "127.0.0.1:1", "--give-up-seconds", "0.2"]
    done = subprocess.run(join, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "narrows: 127.0.0.1:1: no coordinator for 0.2 s" in done.stderr


def test_without_a_compiler_the_reference_coder_is_installed(device, tmp_path):
    """Into an environment that has all that it depends on: only its own build is another."""
    folder = shutil.copytree(device.parents[1], tmp_path / "env", symlinks=True)
    again = ("--no-deps", "--force-reinstall")
    python = installed(folder, *again, CC="/bin/false", CXX="/bin/false")
    assert said(python, "from narrows.kernels import BACKEND; print(BACKEND)") == "reference"
    assert "python" in said(python, "import narrows.edge as e; print('python', e.__name__)")
