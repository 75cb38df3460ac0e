"""What became of a frame: exactly one of these for each."""

from dataclasses import dataclass

from narrows.edge.timing import FrameTiming
from narrows.edge.wire import NOTHING_SENT, WireBytes
from narrows.protos.narrows.v1 import inference_pb2

OK = "OK"
# The device's own verdicts; all others are names of FrameStatus.Code.
DEADLINE = "DEADLINE"  # no answer in time
LINK = "LINK"  # the server was given up
CLOSED = "CLOSED"  # the session ended first
NOT_ENCODED = "NOT_ENCODED"  # the device could not turn the picture into a payload
NEED_KEY_FRAME = "NEED_KEY_FRAME"
# Sending again may help: bytes changed on the way, a full queue, a server's bug, a lost reference.
RETRYABLE = frozenset({"BAD_CHECKSUM", "TRUNCATED", "OVERLOADED", "INTERNAL", NEED_KEY_FRAME})


@dataclass(frozen=True)
class Label:
    """One class the server thinks it saw."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class Outcome:
    """A frame's answer, or why there is none."""

    frame_id: int
    status: str
    message: str = ""
    labels: tuple[Label, ...] = ()  # best first; empty unless status is OK
    timing: FrameTiming | None = None  # None unless the server answered
    wire: WireBytes = NOTHING_SENT  # of the last sending
    sendings: int = 0
    answered_by: str = ""
    queue_depth: int = 0
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


def labels_of(result: inference_pb2.Result) -> tuple[Label, ...]:
    """The labels of an answer, best first."""
    found = result.classification.labels
    return tuple(Label(label.index, label.name, label.probability) for label in found)
