"""What became of a frame: exactly one of these for each."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narrows.edge.timing import FrameTiming
from narrows.edge.wire import NOTHING_SENT, WireBytes
from narrows.images.preprocess import View
from narrows.protos.narrows.v1 import inference_pb2

OK = "OK"
# The device's own verdicts; all others are names of FrameStatus.Code.
DEADLINE = "DEADLINE"  # no answer in time
LINK = "LINK"  # the server was given up
CLOSED = "CLOSED"  # the session ended first
NOT_ENCODED = "NOT_ENCODED"  # the device could not turn the picture into a payload
NOTHING = "NOTHING"  # the device's filter saw nothing worth sending
KEPT = "KEPT"  # no answer yet: in the spool, to be sent once the link is back
DROPPED = "DROPPED"  # the spool was full of newer ones
NEED_KEY_FRAME = "NEED_KEY_FRAME"
# No answer came, which another time may bring one.
LATER = frozenset({DEADLINE, LINK, CLOSED, "OVERLOADED", "QUOTA_EXCEEDED", "DEADLINE_EXCEEDED"})
SURE = 0.5  # a box's score
# Sending again may help: bytes changed on the way, a full queue, too fast, a server's bug, a lost
# reference.
RETRYABLE = frozenset(
    {"BAD_CHECKSUM", "TRUNCATED", "OVERLOADED", "QUOTA_EXCEEDED", "INTERNAL", NEED_KEY_FRAME}
)


@dataclass(frozen=True)
class Label:
    """One class the server thinks it saw."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class Box:
    """One thing the server thinks it saw, and where: in pixels of the photograph, upright."""

    index: int
    name: str
    score: float
    corners: tuple[float, float, float, float]  # x0, y0, x1, y1

    @property
    def sure(self) -> bool:
        """Whether it is worth showing a person."""
        return self.score >= SURE


@dataclass(frozen=True, eq=False)
class Mask:
    """A class for every pixel that was seen."""

    seen: NDArray[np.uint8]  # (height, width) of the preprocessed picture
    names: tuple[str, ...]
    view: View | None  # the way back to the photograph; None where nobody knows it

    def whole(self) -> NDArray[np.uint8]:
        """uint8 (height, width) of the photograph, upright; 255 where it was cropped away."""
        return self.seen if self.view is None else self.view.mask(self.seen)

    def shares(self) -> dict[str, float]:
        """Which part of the pixels each class has, of those that have any."""
        counts = np.bincount(self.seen.reshape(-1), minlength=len(self.names))
        found = {name: int(n) / self.seen.size for name, n in zip(self.names, counts, strict=False)}
        return {name: share for name, share in found.items() if share}


@dataclass(frozen=True)
class Outcome:
    """A frame's answer, or why there is none."""

    frame_id: int
    status: str
    message: str = ""
    labels: tuple[Label, ...] = ()  # best first; empty unless status is OK
    boxes: tuple[Box, ...] | None = None  # best first; None where nobody looked for any
    mask: Mask | None = None
    timing: FrameTiming | None = None  # None unless the server answered
    wire: WireBytes = NOTHING_SENT  # of the last sending
    sendings: int = 0
    answered_by: str = ""
    queue_depth: int = 0
    cheaper_point: int | None = None  # the server's hint, where time was short
    batch_size: int = 0

    @property
    def ok(self) -> bool:
        """Whether the server finished the frame."""
        return self.status == OK


def status_name(status: inference_pb2.FrameStatus) -> str:
    """The code's name; a code newer than this device is named by its number."""
    known = inference_pb2.FrameStatus.Code.values()
    code = status.code
    return inference_pb2.FrameStatus.Code.Name(code) if code in known else f"STATUS_{code}"


def boxes_of(result: inference_pb2.Result, view: View | None) -> tuple[Box, ...] | None:
    """The boxes of an answer, best first, in the photograph's pixels."""
    if not result.HasField("detections"):
        return None
    found = result.detections.boxes
    seen = np.array([(b.x0, b.y0, b.x1, b.y1) for b in found], np.float32).reshape(-1, 4)
    corners = (seen if view is None else view.boxes(seen)).tolist()
    return tuple(
        Box(b.index, b.name, b.score, (x0, y0, x1, y1))
        for b, (x0, y0, x1, y1) in zip(found, corners, strict=True)
    )


def mask_of(result: inference_pb2.Result, size: tuple[int, int], view: View | None) -> Mask | None:
    """The mask of an answer; None for one that is not of `size` (width, height)."""
    if not result.HasField("segmentation"):
        return None
    try:
        picture = Image.open(io.BytesIO(result.segmentation.png), formats=("PNG",))
        if picture.size != size or picture.mode != "L":
            return None
        return Mask(np.array(picture), tuple(result.segmentation.names), view)
    except (OSError, ValueError, SyntaxError):  # what Pillow makes of damaged files
        return None


def labels_of(result: inference_pb2.Result) -> tuple[Label, ...]:
    """The labels of an answer, best first."""
    found = result.classification.labels
    return tuple(Label(label.index, label.name, label.probability) for label in found)
