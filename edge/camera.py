"""Live sources: a thread reads, and whoever asks gets the newest frame; older ones are dropped.

camera:0  v4l2:/dev/video0  rtsp://...  http://... (Motion JPEG)  gstreamer:PIPELINE  picamera2[:0]

A queue would make every later frame as old as the queue is long. A camera that goes away is opened
again, with backoff, until the source is closed.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narrows.edge.link import Backoff
from narrows.edge.source import STREAMS, SourceFrame
from narrows.errors import SourceError

log = logging.getLogger(__name__)
TIMEOUT_MS = 5000  # of a network camera, to open and to read
JOIN_S = 1.0  # a driver may hold the thread longer: it ends with the process


class Capture(Protocol):
    """What a camera is opened as: OpenCV's VideoCapture has this face."""

    def read(self) -> tuple[bool, Any]:
        """Whether there was a frame, and the frame: uint8 BGR (height, width, 3). Waits for it."""
        ...

    def release(self) -> None:
        """Let go of the camera."""
        ...


class Camera(Iterator[SourceFrame]):
    """Iterates over newest frames for as long as the camera is not closed."""

    def __init__(self, name: str, open_capture: Callable[[], Capture], on_drop: Callable[[], None]):
        """Open it, and read from now on; `on_drop` hears of every frame that nobody took.

        Raises:
            SourceError: it cannot be opened.
        """
        self.name = name
        self._open, self._on_drop = open_capture, on_drop
        self._changed = threading.Condition()
        self._newest: NDArray[np.uint8] | None = None
        self._read, self._closed = 0, threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(open_capture(),), name="camera", daemon=True
        )
        self._thread.start()

    def __next__(self) -> SourceFrame:
        """The newest frame, once; waits for one. Ends when the camera is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._closed.is_set())
            bgr, self._newest = self._newest, None
            number = self._read
        if bgr is None or self._closed.is_set():
            raise StopIteration
        return SourceFrame(f"{self.name}#{number}", Image.fromarray(bgr[..., ::-1]))

    def close(self) -> None:
        """Stop reading; who waits for a frame is told that there are no more."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(JOIN_S)

    def _run(self, first: Capture) -> None:
        """Read what is open until it fails, open it again, until closed."""
        capture: Capture | None = first
        backoff = Backoff(0.5, 15.0)
        while not self._closed.is_set():
            if capture is not None and self._read_all(capture):
                backoff.reset()
            if self._closed.wait(backoff.next_s()):
                return
            capture = self._opened()

    def _opened(self) -> Capture | None:
        try:
            return self._open()
        except SourceError as error:
            log.warning("%s", error)
            return None

    def _read_all(self, capture: Capture) -> bool:
        """Read until it fails or the source is closed; whether there was any frame."""
        any_read = False
        try:
            while not self._closed.is_set():
                there, bgr = capture.read()
                if not there:
                    break
                any_read = True
                self._put(bgr)
        except Exception as error:  # a driver's own, of any class
            log.warning("%s: %s", self.name, error)
        finally:
            capture.release()
        if not self._closed.is_set():
            log.warning("%s gives no more frames: opening it again", self.name)
        return any_read

    def _put(self, bgr: NDArray[np.uint8]) -> None:
        with self._changed:
            dropped, self._newest = self._newest is not None, bgr
            self._read += 1
            self._changed.notify()
        if dropped:
            self._on_drop()


def open_camera(spec: str, on_drop: Callable[[], None] = lambda: None) -> Camera:
    """A live source by its name. Raises SourceError: it cannot be opened, or its package lacks."""
    kind, _, rest = spec.partition(":")
    if kind == "picamera2":
        return Camera(spec, lambda: PiCapture(rest), on_drop)
    return Camera(_shown(spec), lambda: _open_cv(spec), on_drop)


def _open_cv(spec: str) -> Capture:
    try:
        import cv2
    except ImportError:
        raise SourceError(
            f"{_shown(spec)}: cameras need OpenCV: pip install 'narrows[edge]'"
        ) from None
    kind, _, rest = spec.partition(":")
    if kind == "camera":
        if not rest.isdigit():
            raise SourceError(f"{spec}: expected a number, such as camera:0")
        capture = cv2.VideoCapture(int(rest))
    elif kind == "v4l2":
        capture = cv2.VideoCapture(rest, cv2.CAP_V4L2)
    elif kind == "gstreamer":
        capture = cv2.VideoCapture(rest, cv2.CAP_GSTREAMER)
    else:
        patience = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        options = [part for name in patience for part in (name, TIMEOUT_MS)]
        capture = cv2.VideoCapture(spec, cv2.CAP_FFMPEG, options)
    if not capture.isOpened():
        raise SourceError(f"{_shown(spec)}: cannot be opened: {_remedy(kind)}")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a driver's own queue; some have no say in it
    return capture


def _remedy(kind: str) -> str:
    if kind in STREAMS:
        return "is the camera on, and are address, user and password right?"
    if kind == "gstreamer":
        return (
            "it must end in `appsink`, and this OpenCV must have GStreamer (NVIDIA's has, "
            "that of pip has not)"
        )
    return "is it plugged in, is nobody else using it, and are you in the group `video`?"


def _shown(spec: str) -> str:
    """Without user and password: names are printed."""
    if spec.partition(":")[0] not in STREAMS:
        return spec
    parts = urlsplit(spec)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class PiCapture:
    """A Raspberry Pi's camera through libcamera."""

    def __init__(self, number: str):
        """`number`: of several; empty: the first. Raises SourceError."""
        try:
            from picamera2 import Picamera2
        except ImportError:
            raise SourceError(
                "picamera2: not installed: sudo apt install python3-picamera2, and a virtual "
                "environment that sees it (--system-site-packages)"
            ) from None
        try:
            self._camera = Picamera2(int(number or 0))
            # libcamera names formats by their order in a word: RGB888 is B, G, R in memory.
            self._camera.configure(
                self._camera.create_video_configuration(main={"format": "RGB888"})
            )
            self._camera.start()
        except (RuntimeError, IndexError, ValueError) as error:
            raise SourceError(
                f"picamera2:{number or 0}: {error}: `rpicam-hello --list-cameras`"
            ) from None

    def read(self) -> tuple[bool, Any]:
        """As `Capture.read`."""
        try:
            return True, self._camera.capture_array("main")
        except RuntimeError as error:
            log.warning("picamera2: %s", error)
            return False, None

    def release(self) -> None:
        """As `Capture.release`."""
        self._camera.close()
