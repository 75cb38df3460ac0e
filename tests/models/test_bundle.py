"""The bundle: what is written comes back, what was altered is refused by name."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")

from bundles import write_tiny_bundle
from safetensors.numpy import load_file, save_file

from narrows.codec.manifest import Manifest
from narrows.codec.signature import sign_bundle, verify_signature
from narrows.edge.head import OnnxHead, load_head
from narrows.errors import BundleError, ConfigError, SignatureError
from narrows.models.bundle import load_tail, write_manifest


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def test_the_same_network_gives_the_same_digest(tmp_path):
    assert write_tiny_bundle(tmp_path / "a").digest == write_tiny_bundle(tmp_path / "b").digest
    assert write_tiny_bundle(tmp_path / "c", seed=1).digest != Manifest.load(tmp_path / "a").digest


def test_no_file_of_a_bundle_is_a_pickle(bundle):
    for path in bundle.iterdir():
        assert not path.read_bytes().startswith((b"\x80\x02", b"\x80\x04", b"PK"))


def test_the_bundle_holds_one_head_in_two_forms(bundle):
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    expected = load_head(bundle, Manifest.load(bundle), "fp32").run(image)
    np.testing.assert_allclose(OnnxHead(bundle / "head.onnx").run(image), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (4, 5), (8, 3)])
def test_the_tail_answers_latents_of_any_size(bundle, size):
    probabilities = load_tail(bundle).run(np.zeros((2, 6, *size), np.float32))
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["tail.safetensors", "unsplit.safetensors"])
def test_an_altered_file_is_refused_by_name(bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[-1] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: SHA-256 differs"):
        load_tail(bundle)


def test_a_missing_file_is_refused_by_name(bundle):
    (bundle / "head.onnx").unlink()
    with pytest.raises(BundleError, match=r"head\.onnx: missing"):
        Manifest.load(bundle).verify_files(bundle)


def test_weights_of_another_shape_are_refused(bundle):
    tensors = load_file(bundle / "tail.safetensors")
    name = next(iter(tensors))
    save_file(tensors | {name: np.zeros(7, np.float32)}, bundle / "tail.safetensors")
    manifest = Manifest.load(bundle)
    from narrows.models.bundle import TailRunner

    with pytest.raises(BundleError, match="does not fit the manifest's architecture"):
        TailRunner.load(bundle, manifest)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["x"]}, "digest does not match"),
        ({"extra": 1}, "extra"),
        ({"latent": {"channels": 0, "max_height": 1, "max_width": 1}}, "latent.channels"),
        ({"schema_version": 99}, "schema version 99"),
    ],
)
def test_an_edited_manifest_is_refused(bundle, change, said):
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=said):
        Manifest.load(bundle)


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="expected a bundle's manifest"):
        Manifest.load(tmp_path)


def test_a_signature_holds_for_its_key_and_manifest_alone(bundle, tmp_path):
    public = sign_bundle(bundle, tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    verify_signature(bundle, public)
    other = sign_bundle(shutil.copytree(bundle, tmp_path / "other"), tmp_path / "other.pem")
    with pytest.raises(SignatureError, match="not made by"):
        verify_signature(bundle, other)
    write_manifest(bundle, Manifest.load(bundle).as_dict() | {"measured_on": "x"})
    with pytest.raises(SignatureError):
        verify_signature(bundle, public)
    (bundle / "manifest.sig").unlink()
    with pytest.raises(SignatureError, match="not signed"):
        verify_signature(bundle, public)
    (tmp_path / "bad.pem").write_text("no key")
    with pytest.raises(ConfigError, match="PEM"):
        sign_bundle(bundle, tmp_path / "bad.pem")
