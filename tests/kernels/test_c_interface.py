"""The C interface: packets decode, damage is named, and nothing else is exported."""

import subprocess
from pathlib import Path

import pytest
from encoding import Run, noise, ppm, run
from native import needs

pytestmark = [
    needs("cmake", "g++", "gcc", "nm"),
    pytest.mark.slow,
    pytest.mark.timeout(900),  # it compiles
]


def encode(library: Path, bundle: Path, *options: str) -> Run:
    return run(library / "narrows-encode", bundle, *options, frames=ppm(noise(32, 48)))


def test_packets_decode_in_c_and_damaged_ones_are_named(
    library: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """The check tries every truncation and many flipped bits, and too small a buffer."""
    (packet,) = encode(library, tiny_bundle).packets
    (tmp_path / "packet").write_bytes(packet)
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
    done = encode(library, folder)
    assert done.code == 2
    assert message in done.error


@pytest.mark.parametrize(
    ("point", "message"), [("3", "this bundle has 0 to 2"), ("-1", "expected a number, got -1")]
)
def test_a_point_that_there_is_not_is_named(
    library: Path, tiny_bundle: Path, point: str, message: str
) -> None:
    done = encode(library, tiny_bundle, "--point", point)
    assert (done.code, message in done.error) == (2, True)


def test_only_the_c_interface_is_exported(library: Path) -> None:
    command = ["nm", "-D", "--defined-only", str(library / "libnarrows.so")]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in symbols.splitlines()}
    assert names == {name for name in names if name.startswith("narrows_")}
    assert "narrows_encode_picture" in names
