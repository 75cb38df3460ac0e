"""`narrows edge` as people run it: a process, its lines and its exit codes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import narrows
from PIL import Image

EDGE = [sys.executable, "-m", "narrows", "edge"]


@contextmanager
def faulty_server(fault: str = "none") -> Iterator[str]:
    command = [sys.executable, "-m", "narrows.simulations.faults", "--fault", fault]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with four pictures and one file that is none."""
    root = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(("cat", "dog", "cat", "bird")):
        (root / name).mkdir(exist_ok=True)
        Image.new("RGB", (40 + number, 33), (60 * number, 0, 0)).save(root / name / f"{number}.png")
    (root / "cat" / "broken.png").write_bytes(b"broken")
    return root


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EDGE, *arguments], capture_output=True, text=True, check=False)


def test_json_is_a_line_per_frame_and_a_summary(pictures: Path, tiny_bundle: Path) -> None:
    with faulty_server() as address:
        done = run(
            str(pictures), "--server", address, "--bundle", str(tiny_bundle), "--point", "all",
            "--labels", "--json",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *frames, last = (json.loads(line) for line in done.stdout.splitlines())
    assert {(f["status"], f["label"]) for f in frames} == {
        ("OK", "cat"), ("OK", "dog"), ("OK", "bird"),
    }  # fmt: skip
    assert {f["point"] for f in frames} == {0, 1, 2}
    summary = last["summary"]
    assert (summary["frames"], summary["answered"], summary["skipped"]) == (4, 4, 1)
    assert "broken.png" in summary["skips"][0]


def test_text_names_memory_and_start_up(pictures: Path, tiny_bundle: Path) -> None:
    with faulty_server() as address:
        done = run(str(pictures), "--server", address, "--bundle", str(tiny_bundle))
    assert done.returncode == 0, done.stderr
    assert "peak memory" in done.stdout
    assert "start-up" in done.stdout


def test_frames_that_fail_are_told_and_the_run_goes_on(pictures: Path, tiny_bundle: Path) -> None:
    with faulty_server("always-busy") as address:
        done = run(
            str(pictures), "--server", address, "--bundle", str(tiny_bundle), "--upload", "webp:50"
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("OVERLOADED: full on purpose") == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--point", "9"), "operating points 0, 1, 2"),
        (("--upload", "png:3"), "jpeg or webp"),
        (("--upload", "jpeg"), "quality 1-100"),
        (("--give-up-seconds", "0.2"), "no server for 0.2 s"),
        (("--window", "0"), "window is 0"),
        (("--local", "none.onnx"), "none.onnx"),
        (("--server", "nowhere"), "host:port"),
        (("--spool", "/proc/spool"), "a folder that can be written"),
        (("--spool", "spool", "--local", "none.onnx"), "leave out --local"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(
    pictures: Path, tiny_bundle: Path, arguments: tuple[str, ...], says: str
) -> None:
    given = ("--server", "127.0.0.1:1", "--bundle", str(tiny_bundle), *arguments)
    done = narrows("edge", str(pictures), *given)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_sigterm_ends_the_capture_and_prints_the_summary(pictures: Path, tiny_bundle: Path) -> None:
    command = [*EDGE, "-", "--bundle", str(tiny_bundle), "--fps", "50", "--json"]
    with faulty_server() as address:
        command += ["--server", address]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{pictures / 'cat' / '0.png'}\n" * 500)
            process.stdin.flush()
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            summary = json.loads(process.stdout.readlines()[-1])["summary"]
    assert process.returncode == 0
    assert 0 < summary["answered"] == summary["frames"] < 500


def test_confidence_is_of_a_loss(pictures: Path) -> None:
    done = narrows("edge", str(pictures), "--policy", "--confidence", "0.99")
    assert done.returncode == 2
    assert "--lose" in done.stderr
