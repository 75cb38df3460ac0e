"""Frames in the log: those without an answer at INFO, so many a second; answered ones at DEBUG."""

import logging

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.logs import about
from narrows.server.ration import Ration

log = logging.getLogger(__name__)
LINES_PER_SECOND = 5  # of one status: a device that sends nonsense fills no disk


class FrameLog:
    """One replica's. Never a payload, only what it was about."""

    def __init__(self) -> None:
        self._lines: dict[int, Ration] = {}  # by status: as many as the contract has

    def note(
        self,
        device: str,
        stream: int,
        bundle: str,
        frame: inference_pb2.Frame,
        result: inference_pb2.Result,
    ) -> None:
        """A frame that has its result. `stream`: its number in this process; 0: a unary call.

        `bundle`: the one it was admitted to; empty where it was not, and then what the frame says.
        """
        status = result.status
        answered = status.code == inference_pb2.FrameStatus.OK
        if not log.isEnabledFor(logging.DEBUG if answered else logging.INFO):
            return
        unsaid = 0
        if not answered:
            ration = self._lines.setdefault(status.code, Ration(LINES_PER_SECOND))
            if not ration.take():
                return
            unsaid = ration.settle()
        fields = about(
            device=device,
            stream=stream or None,
            frame_id=frame.frame_id,
            bundle=bundle or frame.bundle,
            status=inference_pb2.FrameStatus.Code.Name(status.code),
            trace_id=frame.traceparent[3:35],
            unsaid=unsaid or None,  # frames of this status before it that had no line
        )
        if answered:
            log.debug("answered in %.2f ms", _took_ms(result.timing), extra=fields)
        else:
            log.info("%s", status.message, extra=fields)


def _took_ms(timing: inference_pb2.ServerTiming) -> float:
    return (timing.sent_ns - timing.received_ns) / 1e6
