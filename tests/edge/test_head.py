"""A bundle's head by every runner: close to one another, chosen by name, refused with a reason."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from narrows.codec.manifest import INT8_HEAD, INT8_LAYERS, Manifest
from narrows.edge.head import OnnxHead, load_head
from narrows.errors import BundleError, ConfigError
from narrows.kernels import BACKEND
from narrows.kernels.head import Head
from narrows.models.bundle import write_manifest

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)


def without_int8(bundle: Path, folder: Path) -> Manifest:
    shutil.copytree(bundle, folder)
    fields = Manifest.load(bundle).as_dict()
    del fields["head"][INT8_LAYERS], fields["files"][INT8_HEAD]
    (folder / INT8_HEAD).unlink()
    return write_manifest(folder, fields)


def test_all_runners_compute_one_latent(tiny_bundle: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    latents = {
        kind: load_head(tiny_bundle, manifest, kind).run(PICTURE)
        for kind in ("int8", "fp32", "onnx")
    }
    scale = np.abs(latents["onnx"]).max()
    assert np.abs(latents["fp32"] - latents["onnx"]).max() < 1e-5 * scale
    assert np.abs(latents["int8"] - latents["onnx"]).max() < 0.1 * scale


@pytest.mark.skipif(BACKEND != "native", reason="the native head is not built here")
def test_the_default_is_integers_where_there_are_any(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narrows.kernels.cuda._cuda", None)
    head = load_head(tiny_bundle, Manifest.load(tiny_bundle))
    assert isinstance(head, Head)
    assert head.integer
    manifest = without_int8(tiny_bundle, tmp_path / "bundle")
    head = load_head(tmp_path / "bundle", manifest)
    assert isinstance(head, Head)
    assert not head.integer


def test_without_our_kernels_the_default_is_onnx_runtime(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narrows.edge.head.BACKEND", "reference")
    assert isinstance(load_head(tiny_bundle, Manifest.load(tiny_bundle)), OnnxHead)


def test_a_head_that_there_is_not_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="head 'fast': expected one of auto, int8"):
        load_head(tiny_bundle, Manifest.load(tiny_bundle), "fast")  # type: ignore[arg-type]
    manifest = without_int8(tiny_bundle, tmp_path / "bundle")
    with pytest.raises(ConfigError, match="has no int8 head: make one by"):
        load_head(tmp_path / "bundle", manifest, "int8")


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None])
def test_a_damaged_head_is_named(tiny_bundle: Path, tmp_path: Path, content: bytes | None) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    if content is None:  # another bundle's weights: names that the layers do not have
        shutil.copy(folder / "tables.safetensors", folder / INT8_HEAD)
    else:
        (folder / INT8_HEAD).write_bytes(content)
    with pytest.raises(BundleError, match=r"head_int8.safetensors: not a head"):
        load_head(folder, Manifest.load(folder), "int8")
