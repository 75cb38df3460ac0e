"""Where a frame's time went: named parts that add up to its whole.

The device and the server have different monotonic clocks. Their offset comes from pings (NTP's
formula, RFC 5905, section 8: the ping with the least round trip says most) and only splits the
time on the link into its two directions; the total is the device's own clock alone.
"""

from dataclasses import dataclass, fields

from narrows.protos.narrows.v1 import inference_pb2


@dataclass(frozen=True)
class FrameTiming:
    """One frame from its capture (excluded) to its answer, in nanoseconds, in order."""

    preprocess: int  # to the network's size
    head: int  # the network's first part
    code: int  # quantiser and entropy coder, or the picture codec
    wait: int  # for room in the window, for a connection, for a retry
    send: int  # the link, up
    queue: int  # in the replica, for its batch
    decode: int  # entropy decoding its batch
    tail: int  # the network's second part
    reply: int  # building the answer, and the link, down

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(getattr(self, stage) for stage in STAGES)


STAGES = tuple(field.name for field in fields(FrameTiming))


@dataclass(frozen=True)
class ClockOffset:
    """The server's monotonic clock minus ours, as one ping saw it."""

    offset_ns: int
    round_trip_ns: int

    @classmethod
    def from_ping(cls, sent_ns: int, received_ns: int, answered_ns: int) -> "ClockOffset":
        """NTP's ((t1 - t0) + (t2 - t3)) / 2 with t1 = t2, the instant the server saw the ping."""
        return cls(received_ns - (sent_ns + answered_ns) // 2, answered_ns - sent_ns)


@dataclass(frozen=True)
class DeviceStamps:
    """What the device measured of one frame, in ns: durations, and instants of its clock."""

    preprocess_ns: int
    head_ns: int
    code_ns: int
    started_ns: int  # the instant it became a frame to answer
    sent_ns: int  # the instant its last sending began
    answered_ns: int = 0  # the instant its answer was read


def frame_timing(
    device: DeviceStamps, server: inference_pb2.ServerTiming, clock: ClockOffset | None
) -> FrameTiming:
    """Join both sides' stamps; every part is >= 0 and they sum to answered - started exactly.

    A server's figures are claims of another clock: each is cut to what the device's own leaves.
    """
    encoded_ns = device.preprocess_ns + device.head_ns + device.code_ns
    left = max(0, device.answered_ns - device.sent_ns)
    queue, left = _take(server.queue_ns, left)
    decode, left = _take(server.decode_ns, left)
    tail, left = _take(server.tail_ns, left)
    building, link = _take(server.reply_ns, left)
    if clock is None:
        up = link // 2
    else:
        up, _ = _take(server.received_ns - clock.offset_ns - device.sent_ns, link)
    return FrameTiming(
        preprocess=device.preprocess_ns,
        head=device.head_ns,
        code=device.code_ns,
        wait=max(0, device.sent_ns - device.started_ns - encoded_ns),
        send=up,
        queue=queue,
        decode=decode,
        tail=tail,
        reply=building + link - up,
    )


def _take(wanted: int, available: int) -> tuple[int, int]:
    taken = min(max(0, wanted), available)
    return taken, available - taken
