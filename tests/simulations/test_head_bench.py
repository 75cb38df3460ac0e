"""The head benchmark in small: who runs, what is checked, what the JSON holds."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("onnx", reason="needs the server extra")

from narrows.errors import NarrowsError
from narrows.simulations.bench import head as bench
from narrows.simulations.bench import head_device
from narrows.simulations.bench.head_networks import entropic_student, photographs
from narrows.simulations.bench.head_report import plot_heads, print_heads

SIDE = 32


@pytest.fixture(scope="module")
def found(tiny_bundle):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_device, "STARTS", 1)
        return bench.bench_head(tiny_bundle, threads=1, side=SIDE, rounds=1)


def test_the_json_holds_what_was_promised(found):
    found = json.loads(json.dumps(found))
    assert {"fp32_ms", "int8_ms", "entropic_student", "missing", "isa"} <= found.keys()
    for field in ("device_path_ms", "rss_mb", "start_s", "gflop", "peak_gflop_s"):
        assert found[field] > 0
    assert set(found["peers"]) | set(found["missing"]) >= {"onnxruntime", "torch", "openvino"}
    for network in (found, found["entropic_student"]):
        assert {"fp32_ms", "int8_ms"} <= network["peers"]["onnxruntime"].keys()
    ours_is_here = "narrows" not in found["missing"]
    assert (found["fp32_ms"] is not None) == ours_is_here


def test_every_runtime_computes_the_same_network(found):
    for network in (found, found["entropic_student"]):
        for figures in network["peers"].values():
            assert figures.get("fp32_error", 0) < 1e-4


def test_the_table_and_the_picture_are_made(found, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs the server extra")
    print_heads(found)
    assert "onnxruntime" in capsys.readouterr().out
    plot_heads(found, tmp_path / "heads.png")
    assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG")


def test_a_runtime_with_another_network_is_found_out():
    latent = np.ones((2, 3, 3), np.float32)
    with pytest.raises(NarrowsError, match="another network"):
        bench._verified({("onnxruntime", "fp32"): latent, ("other", "fp32"): latent * 1.1})
    with pytest.raises(NarrowsError, match="expected"):
        bench._verified({("onnxruntime", "fp32"): latent, ("other", "fp32"): latent[:1]})


def test_entropic_student_has_the_published_size():
    network = entropic_student()
    assert (
        sum(value.size for name, value in network.tensors.items() if "bias" not in name) == 138672
    )
    assert network.flops() == pytest.approx(2 * 588.35e6, rel=1e-4)


def test_the_upload_of_the_paper_beside_us_is_a_string():
    pytest.importorskip("compressai", reason="needs the train extra")
    send = head_device.torch_and_compressai(1)
    assert isinstance(send(photographs(1, SIDE)[0]), bytes)
