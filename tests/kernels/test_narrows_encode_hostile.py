"""narrows-encode under sanitisers: whatever comes in, one line says what is wrong with it."""

import subprocess
from pathlib import Path

import pytest
from encoding import Run, expected, noise, ppm, run
from native import needs

pytestmark = [needs("cmake", "g++", "gcc"), pytest.mark.slow, pytest.mark.timeout(900)]

GOOD = ppm(noise(40, 50))


@pytest.fixture(scope="module")
def program(sanitised: Path) -> Path:
    return sanitised / "narrows-encode"


def assert_one_line(done: Run, code: int) -> None:
    assert done.code == code, done.error
    assert done.error.startswith("narrows-encode: ")
    assert done.error.count("\n") == 1, done.error


@pytest.mark.parametrize(
    "frames",
    [
        b"P",
        b"P5 4 4 255\n" + bytes(16),
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"P6",
        b"P6 50 40 255",
        b"P6 # a comment that never ends",
        b"P6 0 4 255\n",
        b"P6 4 0 255\n",
        b"P6 -4 4 255\n" + bytes(48),
        b"P6 16385 1 255\n",
        b"P6 4294967297 4294967297 255\n" + bytes(3),
        b"P6 99999999999999999999999999999999 1 255\n",
        b"P6 4 4 65535\n" + bytes(96),
        b"P6 4 4 15\n" + bytes(48),
        b"P6 4x4 255\n" + bytes(48),
        b"P6 16384 16384 255\n" + bytes(1000),
        GOOD[:-1],
        GOOD[:14],
        GOOD + b"\n",
        GOOD + GOOD[:100],
    ],
)
def test_damaged_pictures_end_it_after_those_before(
    program: Path, tiny_bundle: Path, frames: bytes
) -> None:
    done = run(program, tiny_bundle, frames=frames)
    assert_one_line(done, 1)
    assert len(done.packets) == frames.startswith(GOOD)


@pytest.mark.parametrize("shape", [(1, 16384), (16384, 1), (2, 16384)])
def test_the_longest_pictures_are_pictures(
    program: Path, tiny_bundle: Path, shape: tuple[int, int]
) -> None:
    picture = noise(*shape)
    done = run(program, tiny_bundle, frames=ppm(picture))
    assert (done.code, done.packets) == (0, expected(tiny_bundle, [picture]))


def test_every_truncation_of_a_picture_is_noticed(
    sanitised: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    picture = ppm(noise(4, 4))
    for size in range(1, len(picture)):
        assert_one_line(run(sanitised / "narrows-encode", tiny_bundle, frames=picture[:size]), 1)


def test_nothing_is_no_frame_and_no_error(program: Path, tiny_bundle: Path) -> None:
    assert run(program, tiny_bundle) == Run(0, [], "")


@pytest.mark.parametrize("bytes_", [1, 63, 64 * 48 * 2 - 1])
def test_a_yuyv_frame_cut_off_is_noticed(program: Path, tiny_bundle: Path, bytes_: int) -> None:
    done = run(program, tiny_bundle, "--yuyv", "64x48", frames=bytes(64 * 48 * 2 + bytes_))
    assert_one_line(done, 1)
    assert len(done.packets) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--yuyv", "63x48"),
        ("--yuyv", "0x0"),
        ("--yuyv", "64"),
        ("--yuyv", "64x48x3"),
        ("--yuyv", "-64x48"),
        ("--yuyv", "99999x2"),
        ("--yuyv",),
        ("--v4l2", "/dev/video0"),
        ("--point", "x"),
        ("--point", "99999999999999999999"),
        ("--frames", "-1"),
        ("--frames",),
        ("--colour",),
        ("a.ppm", "b.ppm"),
        ("/nowhere.ppm",),
        ("--out", "a", "--each", "b"),
        ("a.ppm", "--v4l2", "/dev/video0", "64x48"),
    ],
)
def test_wrong_arguments_are_named(
    program: Path, tiny_bundle: Path, arguments: tuple[str, ...]
) -> None:
    assert_one_line(run(program, tiny_bundle, *arguments, frames=GOOD), 2)


def test_what_is_no_camera_is_named(program: Path, tiny_bundle: Path) -> None:
    for device, why in (("/nowhere", "No such file"), ("/dev/null", "not a V4L2 device")):
        done = run(program, tiny_bundle, "--v4l2", device, "64x48")
        assert_one_line(done, 1)
        assert why in done.error


def test_a_full_disk_and_a_reader_that_left_are_named(program: Path, tiny_bundle: Path) -> None:
    done = run(program, tiny_bundle, "--out", "/dev/full", frames=GOOD)
    assert_one_line(done, 3)
    command = [str(program), str(tiny_bundle)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        _, error = process.communicate(GOOD)
    assert (process.returncode, b"stdout: Broken pipe" in error) == (3, True)
