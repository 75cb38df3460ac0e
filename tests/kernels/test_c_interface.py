"""A C program links libnarrows alone and makes the packets that Python makes."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from native import needs
from PIL import Image

from narrows.codec import bitstream
from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.encoder import load_feature_encoder

pytestmark = [
    needs("cmake", "g++", "gcc", "nm"),
    pytest.mark.slow,
    pytest.mark.timeout(900),  # it compiles
]


def photograph(path: Path, height: int = 32, width: int = 48, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(path)
    return image


def encode(library: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(library / "encode"), *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.parametrize("size", [(32, 48), (61, 32), (32, 35)])
@pytest.mark.parametrize("point", [0, 2])
def test_the_example_writes_pythons_packet(
    library: Path, tiny_bundle: Path, tmp_path: Path, size: tuple[int, int], point: int
) -> None:
    image = photograph(tmp_path / "photo.ppm", *size)
    packet = tmp_path / "packet"
    done = encode(library, tiny_bundle, tmp_path / "photo.ppm", str(point), packet)
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(tiny_bundle)
    expected = load_feature_encoder(tiny_bundle, manifest).encode(image, point).data
    assert packet.read_bytes() == expected
    codec = load_frame_codec(tiny_bundle, manifest)
    (latent,) = codec.decode([bitstream.parse(packet.read_bytes())])
    assert isinstance(latent, np.ndarray)


def test_packets_decode_in_c_and_damaged_ones_are_named(
    library: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """The check tries every truncation and many flipped bits, and too small a buffer."""
    photograph(tmp_path / "photo.ppm")
    assert not encode(
        library, tiny_bundle, tmp_path / "photo.ppm", "0", tmp_path / "packet"
    ).returncode
    done = subprocess.run(
        [str(library / "c_check"), str(tiny_bundle), str(tmp_path / "packet")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "JSON, byte 1"),
        (lambda folder: (folder / "manifest.json").write_text("[" * 99), "nested too deep"),
        (lambda folder: (folder / "tables.safetensors").write_bytes(b"x" * 40), "not a safeten"),
        (lambda folder: (folder / "head_int8.safetensors").write_bytes(b"\2" + b"\0" * 7 + b"{}"),
         "no tensor"),
    ],
)  # fmt: skip
def test_a_bundle_that_does_not_fit_is_named(
    library: Path, tiny_bundle: Path, tmp_path: Path, damage, message: str
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ("manifest.json", "tables.safetensors", "head_int8.safetensors"):
        (folder / name).write_bytes((tiny_bundle / name).read_bytes())
    damage(folder)
    photograph(tmp_path / "photo.ppm")
    done = encode(library, folder, tmp_path / "photo.ppm", "0", tmp_path / "packet")
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(("point", "message"), [("3", "operating point 3"), ("-1", "has 0 to 2")])
def test_a_point_that_there_is_not_is_named(
    library: Path, tiny_bundle: Path, tmp_path: Path, point: str, message: str
) -> None:
    photograph(tmp_path / "photo.ppm")
    done = encode(library, tiny_bundle, tmp_path / "photo.ppm", point, tmp_path / "packet")
    assert (done.returncode, message in done.stderr) == (2, True)


def test_only_the_c_interface_is_exported(library: Path) -> None:
    command = ["nm", "-D", "--defined-only", str(library / "libnarrows.so")]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in symbols.splitlines()}
    assert names == {name for name in names if name.startswith("narrows_")}
    assert "narrows_encode_picture" in names
