"""A frame that has no outcome yet: its message, its stamps and its timers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic_ns

from narrows.edge.link import Backoff
from narrows.edge.outcome import Outcome
from narrows.edge.timing import DeviceStamps
from narrows.edge.wire import NOTHING_SENT, WireBytes, wire_bytes
from narrows.images.preprocess import View
from narrows.protos.narrows.v1 import inference_pb2
from narrows.telemetry.traces import OpenSpan


@dataclass
class Kept:
    """A frame without an outcome yet."""

    frame: inference_pb2.Frame
    stamps: DeviceStamps
    expires_ns: int
    outcome: asyncio.Future[Outcome]
    expiry: asyncio.TimerHandle
    backoff: Backoff
    key: Callable[[], bytes] | None = None  # its packet by itself, if it was coded against another
    view: View | None = None
    on_wire: bool = False  # sent on the stream that is open now, and not sent back
    retry: asyncio.TimerHandle | None = None
    sendings: int = 0
    wire: WireBytes = NOTHING_SENT
    encoding_ns: int = 0  # the instant its encoding began
    span: OpenSpan | None = None  # where frames are traced

    def stand_alone(self) -> None:
        """Where it goes next, the frame before it may not have been."""
        if self.key is not None:
            self.frame.packet, self.key = self.key(), None

    def stamp_sending(self) -> inference_pb2.Frame:
        """Note that it is sent now; the message carries the time that is left."""
        now = monotonic_ns()
        self.frame.deadline_ms = max(1, (self.expires_ns - now) // 1_000_000)
        self.stamps = replace(self.stamps, sent_ns=now)
        self.wire = wire_bytes(self.frame)
        self.on_wire = True
        self.sendings += 1
        return self.frame

    def unanswered(self, status: str, message: str) -> Outcome:
        """Its outcome when the server gave none."""
        frame_id = self.frame.frame_id
        return Outcome(frame_id, status, message, wire=self.wire, sendings=self.sendings)
