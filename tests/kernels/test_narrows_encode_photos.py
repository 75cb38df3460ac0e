"""The shipped bundle's packets of 50 photographs: narrows-encode's are Python's on every board."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from encoding import Pixels, expected, ppm, run
from native import ARM, BOARDS, EMULATOR, ROOT, needs

from narrows.images.labelled import LabelledImages

BUNDLE = ROOT / "models" / "zoo" / "classify"
PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "imagenette224.tar"
POINTS = range(6)
pytestmark = [
    needs("cmake", "g++", "gcc"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason=f"no {PHOTOGRAPHS.name} here"),
]


@pytest.fixture(scope="module")
def photographs() -> list[Pixels]:
    """50, of all classes."""
    images = LabelledImages(PHOTOGRAPHS)
    entries = images.of_part(None)
    chosen = itertools.islice(entries[:: len(entries) // 50], 50)
    return [np.array(images.image(entry.name).convert("RGB")) for entry in chosen]


@pytest.fixture(scope="module")
def packets(photographs: list[Pixels]) -> list[list[bytes]]:
    """Python's, by point."""
    return [expected(BUNDLE, photographs, point) for point in POINTS]


@pytest.mark.parametrize("point", POINTS)
def test_packets_here_are_pythons(
    library: Path, photographs: list[Pixels], packets: list[list[bytes]], point: int
) -> None:
    frames = b"".join(map(ppm, photographs))
    done = run(library / "narrows-encode", BUNDLE, "--point", str(point), frames=frames)
    assert (done.code, done.packets == packets[point]) == (0, True), done.error


@needs(f"{ARM}g++", EMULATOR)
@pytest.mark.parametrize("board", BOARDS)
def test_packets_of_an_arm_board_are_pythons(
    for_arm: Path, photographs: list[Pixels], packets: list[list[bytes]], board: str
) -> None:
    """Every photograph, and every point in its turn: an emulated board is slow."""
    for point in POINTS:
        frames = b"".join(map(ppm, photographs[point :: len(POINTS)]))
        done = run(for_arm / "narrows-encode", BUNDLE, "--point", str(point), frames=frames,
                   before=(EMULATOR, "-cpu", board))  # fmt: skip
        assert (done.code, done.error) == (0, "")
        assert done.packets == packets[point][point :: len(POINTS)]
