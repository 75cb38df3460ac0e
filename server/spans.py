"""A frame's span on the server, made of its timing record once it has its result."""

from narrows.protos.narrows.v1 import inference_pb2
from narrows.telemetry.traces import Attributes, Traces

MESSAGE_CHARACTERS = 500  # a device may name a bundle by a megabyte


def trace_frame(
    traces: Traces,
    device: str,
    bundle: str,
    frame: inference_pb2.Frame,
    result: inference_pb2.Result,
) -> None:
    """The span "serve" below the device's, with queue, decode, tail and reply of an answered frame.

    A frame that brings no context has no span: its device decides what is traced.
    """
    timing, status = result.timing, result.status
    span = traces.join(frame.traceparent, "serve", timing.received_ns)
    if span is None:
        return
    code = inference_pb2.FrameStatus.Code.Name(status.code)
    error = "" if status.code == inference_pb2.FrameStatus.OK else f"{code}: {status.message}"
    if not error:
        at_ns = timing.received_ns
        for name in ("queue", "decode", "tail", "reply"):
            ended_ns = at_ns + getattr(timing, f"{name}_ns")
            span.part(name, at_ns, ended_ns)
            at_ns = ended_ns
    attributes: Attributes = {
        "narrows.frame_id": frame.frame_id,
        "narrows.device": device,
        "narrows.bundle": bundle,
        "narrows.status": code,
        "narrows.batch_size": timing.batch_size,
        "narrows.replica": result.answered_by,
    }
    span.end(timing.sent_ns, attributes, error[:MESSAGE_CHARACTERS])
