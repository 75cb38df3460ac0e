"""A live source gives the newest frame, keeps no queue, comes back by itself, and can be ended."""

import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import made_up_board
import numpy as np
import pytest
from made_up_board import put_cooling
from PIL import Image

from narrows.edge.camera import Camera, open_camera
from narrows.edge.policy.cooling import FEWEST
from narrows.edge.source import is_live, is_video, open_source
from narrows.errors import SourceError
from narrows.simulations.faults import Fault

cv2 = pytest.importorskip("cv2", reason="needs the edge extra")
FRAMES = 25
STEP = 10  # of grey, between a frame and the next


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame n is of grey n * STEP."""
    path = tmp_path_factory.mktemp("video") / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), number * STEP, np.uint8))
    writer.release()
    return path


def number_of(image: Image.Image) -> int:
    return round(float(np.asarray(image).mean()) / STEP)


class Stepped:
    """A recorded video as a camera whose next frame comes when the test lets it."""

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        self._let, self.read_count = threading.Semaphore(0), 0
        self._asked = threading.Condition()
        self._waiting = 0
        self.released = threading.Event()

    def read(self) -> tuple[bool, Any]:
        with self._asked:
            self._waiting += 1
            self._asked.notify_all()
        self._let.acquire()
        return self._capture.read() if not self.released.is_set() else (False, None)

    def release(self) -> None:
        self.released.set()
        self._let.release()

    def give(self, count: int) -> None:
        """`count` more frames, and wait until the camera has taken them and asks for the next."""
        with self._asked:
            asked = self._waiting
            for _ in range(count):
                self._let.release()
            self._asked.wait_for(lambda: self._waiting >= asked + count)

    def begin(self) -> "Stepped":
        with self._asked:
            self._asked.wait_for(lambda: self._waiting > 0)
        return self


def test_the_newest_frame_is_taken_and_the_others_are_counted_as_dropped(video: Path) -> None:
    dropped: list[int] = []
    stepped = Stepped(video)
    camera = Camera("virtual", lambda: stepped, lambda: dropped.append(1))
    stepped.begin()
    stepped.give(7)
    assert number_of(next(camera).image) == 6
    assert len(dropped) == 6
    stepped.give(1)
    frame = next(camera)
    assert (number_of(frame.image), frame.name) == (7, "virtual#8")
    stepped.give(10)
    assert number_of(next(camera).image) == 17
    assert len(dropped) == 6 + 9
    stepped.release()
    camera.close()


def test_who_waits_for_a_frame_is_told_when_the_camera_is_closed(video: Path) -> None:
    stepped = Stepped(video)
    camera, found = Camera("virtual", lambda: stepped, lambda: None), list[object]()
    stepped.begin()
    waiting = threading.Thread(target=lambda: found.extend(camera))
    waiting.start()
    camera.close()  # the driver still holds the reading thread
    waiting.join()
    assert found == []
    stepped.release()


def test_a_camera_that_goes_away_is_opened_again(video: Path) -> None:
    """Twice it fails to open, once in reading; every life of it begins with frame 0."""
    lives: list[object] = []

    class Dying:
        def __init__(self) -> None:
            lives.append(self)
            if len(lives) in (2, 3):
                raise SourceError("not there")
            self._capture = cv2.VideoCapture(str(video))
            self._left = 1

        def read(self) -> tuple[bool, Any]:
            self._left -= 1
            if self._left < 0 and len(lives) == 4:
                raise cv2.error("a driver's own")
            return self._capture.read() if self._left >= 0 else (False, None)

        def release(self) -> None:
            self._capture.release()

    camera = Camera("virtual", Dying, lambda: None)
    frames = [next(camera) for _ in range(3)]
    camera.close()
    assert [number_of(frame.image) for frame in frames] == [0, 0, 0]
    assert [frame.name for frame in frames] == ["virtual#1", "virtual#2", "virtual#3"]


@contextmanager
def motion_jpeg() -> Iterator[str]:
    """A network camera on loopback: the same photograph for as long as somebody looks."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 40, 40)).save(file, "jpeg", quality=95)
    jpeg = file.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                while True:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://user:secret@127.0.0.1:{server.server_port}/live.mjpg"
    finally:
        server.shutdown()
        server.server_close()


def test_a_network_camera_is_a_source_and_its_password_is_told_nobody() -> None:
    with motion_jpeg() as address:
        camera = open_source(address)
        frame = next(camera)
        assert isinstance(camera, Camera)
        camera.close()
    red, green, blue = np.asarray(frame.image).reshape(-1, 3).mean(axis=0)
    assert red > 150
    assert max(green, blue) < 80
    assert frame.name.startswith("http://127.0.0.1:")
    assert "secret" not in frame.name


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("camera:99", "plugged in"),
        ("camera:front", "expected a number"),
        ("v4l2:/dev/video99", "plugged in"),
        ("rtsp://me:secret@127.0.0.1:9/live", "is the camera on"),
        ("gstreamer:nothing ! appsink", "appsink"),
        ("picamera2", "python3-picamera2"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(spec: str, remedy: str) -> None:
    with pytest.raises(SourceError, match=remedy) as told:
        open_camera(spec)
    assert "secret" not in str(told.value)


def test_cameras_are_told_from_files_by_their_names() -> None:
    assert all(is_live(s) and is_video(s) for s in ("camera:0", "rtsp://a/b", "picamera2"))
    assert not any(is_live(s) for s in ("camera", "photos/camera:0", "video.mp4", "-"))


def test_a_hot_device_at_a_camera_steps_down_and_ends_at_sigterm_with_every_frame_answered(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    put_cooling(tmp_path, "cpufreq-cpu0", 1)
    serve = [sys.executable, "-m", "narrows.simulations.faults", "--fault", Fault.NONE.value]
    with motion_jpeg() as address, subprocess.Popen(serve, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        command = [
            sys.executable, made_up_board.__file__, tmp_path, "edge", address,
            "--bundle", tiny_bundle,
            "--server", f"127.0.0.1:{int(server.stdout.readline())}", "--json", "--deadline-ms",
            "60000",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as device:
            assert device.stdout is not None
            records: list[dict[str, Any]] = []
            for line in islice(device.stdout, 5000):  # far more than it takes meanwhile
                records.append(json.loads(line))
                if records[-1]["one_in"] == FEWEST:
                    break
            device.send_signal(signal.SIGTERM)
            *rest, last = (json.loads(line) for line in device.stdout)
        server.kill()
    assert device.returncode == 0
    assert {record["status"] for record in records + rest} == {"OK"}
    assert last["summary"]["frames"] == len(records + rest)
    assert [step["one_in"] for step in last["summary"]["heat"]["steps"]] == [2, 4, 8]
