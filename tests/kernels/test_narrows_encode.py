"""narrows-encode, the device without Python: the Python device's packets, frame by frame."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from encoding import Pixels, Run, expected, noise, ppm, run, unpacked
from native import ROOT, needs
from PIL import Image

from narrows.images.preprocess import pad_to_stride, resize_and_crop

pytestmark = [needs("cmake", "g++", "gcc"), pytest.mark.slow, pytest.mark.timeout(900)]

SIZES = [(32, 48), (61, 32), (32, 35), (97, 131), (20, 9), (240, 320)]


@pytest.fixture(scope="module")
def program(library: Path) -> Path:
    return library / "narrows-encode"


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    return [noise(*size, seed) for seed, size in enumerate(SIZES)]


def yuyv(height: int, width: int, seed: int = 0) -> Pixels:
    """A frame of every byte value, (height, width, 2)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 2), dtype=np.uint8)


@pytest.mark.parametrize("point", ["0", "2"])
def test_a_pipe_of_pictures_becomes_pythons_packets(
    program: Path, tiny_bundle: Path, pictures: list[Pixels], point: str
) -> None:
    """Of many sizes one after the other: some enlarged, some cropped, one as it is."""
    done = run(program, tiny_bundle, "--point", point, frames=b"".join(map(ppm, pictures)))
    assert (done.code, done.error) == (0, "")
    assert done.packets == expected(tiny_bundle, pictures, int(point))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("short_side", "max_aspect"), [(224, 2.0), (32, 1.5), (7, 1.0)])
def test_pictures_of_any_size_are_resized_and_filled_as_python_does(
    library: Path, seed: int, short_side: int, max_aspect: float
) -> None:
    generator = np.random.default_rng(seed)
    sizes = [(1, 1), (1, 900), (700, 2), *generator.integers(1, 400, (20, 2)).tolist()]
    pictures = [noise(*size, seed) for size in sizes]
    done = subprocess.run(
        [str(library / "resize_check"), str(short_side), str(max_aspect)],
        input=b"".join(map(ppm, pictures)),
        capture_output=True,
        check=True,
    )
    resized = [
        pad_to_stride(resize_and_crop(Image.fromarray(p), short_side, max_aspect), 8)
        for p in pictures
    ]
    headers = [b"P6 %d %d 255\n" % (p.shape[1], p.shape[0]) for p in resized]
    assert done.stdout == b"".join(h + p.tobytes() for h, p in zip(headers, resized, strict=True))


def test_yuyv_becomes_the_colours_of_opencv(library: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    frame = yuyv(256, 512)
    done = subprocess.run(
        [str(library / "resize_check"), "256", "2", "256", "512"],
        input=frame.tobytes(),
        capture_output=True,
        check=True,
    )
    assert (
        done.stdout == b"P6 512 256 255\n" + cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_YUYV).tobytes()
    )


def test_yuyv_frames_in_a_file_become_packets_in_a_file(
    program: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    frames = [yuyv(48, 64, seed) for seed in range(3)]
    (tmp_path / "frames").write_bytes(b"".join(f.tobytes() for f in frames))
    done = run(program, tiny_bundle, tmp_path / "frames", "--yuyv", "64x48",
               "--out", tmp_path / "packets")  # fmt: skip
    assert (done.code, done.packets) == (0, [])
    seen = [cv2.cvtColor(f, cv2.COLOR_YUV2RGB_YUYV) for f in frames]
    assert unpacked((tmp_path / "packets").read_bytes()) == expected(tiny_bundle, seen)


def test_each_frame_can_have_its_file_and_frames_an_end(
    program: Path, tiny_bundle: Path, tmp_path: Path, pictures: list[Pixels]
) -> None:
    done = run(program, tiny_bundle, "-", "--each", f"{tmp_path}/frame-", "--frames", "2",
               frames=b"".join(map(ppm, pictures)))  # fmt: skip
    assert (done.code, done.error, done.packets) == (0, "", [])
    written = sorted(tmp_path.iterdir())
    assert [path.name for path in written] == ["frame-000000.packet", "frame-000001.packet"]
    assert [path.read_bytes() for path in written] == expected(tiny_bundle, pictures[:2])


def test_a_packet_leaves_before_the_next_frame_comes(program: Path) -> None:
    """And 4 MB hold the process, with the bundle that is shipped."""
    bundle = ROOT / "models" / "zoo" / "classify"
    picture = noise(480, 640)
    (packet,) = expected(bundle, [picture])
    command = [str(program), str(bundle)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(3):
            process.stdin.write(ppm(picture))
            process.stdin.flush()
            assert process.stdout.read(4) == len(packet).to_bytes(4, "little")
            assert process.stdout.read(len(packet)) == packet
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.stdin.close()
        assert process.wait() == 0
    assert int(status.split("VmHWM:")[1].split()[0]) <= 4 * 1024  # kB


@needs("readelf")
def test_the_program_is_one_file(program: Path) -> None:
    done = subprocess.run(["readelf", "-d", str(program)], capture_output=True, text=True)
    assert "(NEEDED)" not in done.stdout


CAMERA, FRAMES = "/dev/video-of-a-test", 6


def filmed(library: Path, bundle: Path, folder: Path, *options: str) -> tuple[Run, list[bytes]]:
    """The program before a camera of FRAMES frames, the fourth of them broken; packets of all."""
    cv2 = pytest.importorskip("cv2")
    frames = [yuyv(48, 64, seed) for seed in range(FRAMES)]
    (folder / "film").write_bytes(b"".join(f.tobytes() for f in frames))
    done = run(library / "filmed_encode", bundle, "--v4l2", CAMERA, "64x48", *options,
               before=("env", f"FILM={folder / 'film'}"))  # fmt: skip
    seen = [cv2.cvtColor(f, cv2.COLOR_YUV2RGB_YUYV) for f in frames]
    return done, expected(bundle, seen)


def test_a_cameras_newest_whole_frames_are_encoded(
    library: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """Two are ready at the first look: the older is not encoded, nor is the broken one."""
    done, packets = filmed(library, tiny_bundle, tmp_path, "--frames", "3")
    assert (done.code, done.error) == (0, "")
    assert done.packets == [packets[1], packets[2], packets[4]]


def test_a_camera_that_is_unplugged_ends_it(
    library: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    done, packets = filmed(library, tiny_bundle, tmp_path)
    assert (done.code, done.error) == (1, f"narrows-encode: {CAMERA}: is gone\n")
    assert done.packets == [packets[1], packets[2], packets[4], packets[5]]


def test_a_camera_without_that_size_says_what_it_has(library: Path, tiny_bundle: Path) -> None:
    done = run(library / "filmed_encode", tiny_bundle, "--v4l2", CAMERA, "66x48")
    assert (done.code, done.packets) == (1, [])
    assert done.error == (
        f"narrows-encode: {CAMERA}: has no YUYV of 66 x 48; nearest is YUYV of 64 x 48\n"
    )
