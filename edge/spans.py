"""A frame's span on the device, made of its stamps once it has its outcome."""

from time import monotonic_ns

from narrows.edge.kept import Kept
from narrows.edge.outcome import Outcome
from narrows.telemetry.traces import Attributes


def end_span(kept: Kept, outcome: Outcome) -> None:
    """End the span of a frame that has one.

    Its parts, in order and without gaps: wait (for room in the window), encode, wait (for a
    connection or a retry), then of an answered frame send and reply, between which the server's
    span lies. Their times are those of `FrameTiming`.
    """
    span, stamps = kept.span, kept.stamps
    if span is None:
        return
    ended_ns = monotonic_ns()
    encoded_ns = kept.encoding_ns + stamps.preprocess_ns + stamps.head_ns + stamps.code_ns
    if kept.encoding_ns > stamps.started_ns:
        span.part("wait", stamps.started_ns, kept.encoding_ns)
    span.part("encode", kept.encoding_ns, encoded_ns)
    if kept.sendings:
        span.part("wait", encoded_ns, stamps.sent_ns)
    if outcome.timing is not None:
        timing = outcome.timing
        received_ns = stamps.sent_ns + timing.send
        replying_ns = received_ns + timing.queue + timing.decode + timing.tail
        ended_ns = replying_ns + timing.reply
        span.part("send", stamps.sent_ns, received_ns)
        span.part("reply", replying_ns, ended_ns)
    attributes: Attributes = {
        "narrows.frame_id": outcome.frame_id,
        "narrows.bundle": kept.frame.bundle,
        "narrows.status": outcome.status,
        "narrows.packet_bytes": outcome.wire.packet_bytes,
        "narrows.wire_bytes": outcome.wire.total_bytes,
        "narrows.sendings": outcome.sendings,
        "narrows.answered_by": outcome.answered_by,
    }
    span.end(ended_ns, attributes, "" if outcome.ok else f"{outcome.status}: {outcome.message}")
