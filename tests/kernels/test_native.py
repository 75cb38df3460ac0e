"""The native check on this machine, under sanitisers, and on emulated Arm boards: one answer."""

import subprocess
from functools import cache
from pathlib import Path

import pytest
from native import ARM, BOARDS, EMULATOR, needs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # it compiles

ROUNDS = "100"


def answer(*command: str) -> tuple[str, str]:
    """(instruction sets, digest) that the check prints."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    _, names, digest = done.stdout.strip().split(", ")
    return names, digest


@pytest.fixture
def here(library: Path) -> Path:
    return library / "properties"


@cache
def expected(check: Path) -> tuple[str, str]:
    return answer(str(check), ROUNDS)


@needs("cmake", "g++")
@pytest.mark.parametrize("seed", ["2", "3"])
def test_every_instruction_set_here_agrees(here: Path, seed: str) -> None:
    names, _ = answer(str(here), ROUNDS, seed)
    assert names.split()[0] == "portable"


@needs("cmake", "g++")
def test_no_sanitiser_finds_anything(sanitised: Path, here: Path) -> None:
    assert answer(str(sanitised / "properties"), ROUNDS) == expected(here)


@needs("cmake", "g++", f"{ARM}g++", EMULATOR)
@pytest.mark.parametrize("board", BOARDS)
def test_an_arm_board_writes_and_computes_the_same_bytes(
    for_arm: Path, here: Path, board: str
) -> None:
    names, digest = answer(EMULATOR, "-cpu", board, str(for_arm / "properties"), ROUNDS)
    assert names.split()[-1] == BOARDS[board]
    assert digest == expected(here)[1]


@needs("cmake", "g++", "nm")
def test_code_for_one_instruction_set_is_never_linked_for_another(here: Path) -> None:
    """A weak symbol of an AVX-512 file may replace the portable one of the same name."""
    special = [*here.parent.rglob("*avx2.cc.o"), *here.parent.rglob("*avx512.cc.o")]
    for path in special:
        symbols = subprocess.run(["nm", "-C", str(path)], capture_output=True, text=True).stdout
        assert not [line for line in symbols.splitlines() if " W " in line or " V " in line], path
