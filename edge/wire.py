"""How many bytes a frame costs on the wire: the payload, and what carries it.

    framing = protobuf fields around the payload
            + 5             gRPC's message prefix (compressed flag, length)
            + 9 per 16 KiB  HTTP/2 DATA frame headers

Stream headers are paid once per long-lived stream; TLS, TCP and IP are below this layer. Not in
it: the two WINDOW_UPDATE frames (13 bytes each) that gRPC sends up for each answer it reads.
"""

from dataclasses import dataclass

from narrows.protos.narrows.v1 import inference_pb2

GRPC_PREFIX_BYTES = 5
HTTP2_FRAME_HEADER_BYTES = 9
HTTP2_FRAME_BYTES = 16_384  # HTTP/2's default SETTINGS_MAX_FRAME_SIZE


@dataclass(frozen=True)
class WireBytes:
    """One frame's bytes towards the server."""

    packet_bytes: int  # the packet, or the picture file
    message_bytes: int  # the serialised protobuf Frame

    @property
    def framing_bytes(self) -> int:
        """Everything but the payload, by the formula above."""
        if not self.message_bytes:
            return 0  # never sent
        carried = self.message_bytes + GRPC_PREFIX_BYTES
        data_frames = -(-carried // HTTP2_FRAME_BYTES)
        return carried - self.packet_bytes + HTTP2_FRAME_HEADER_BYTES * data_frames

    @property
    def total_bytes(self) -> int:
        """Payload and framing."""
        return self.packet_bytes + self.framing_bytes


NOTHING_SENT = WireBytes(0, 0)


def wire_bytes(frame: inference_pb2.Frame) -> WireBytes:
    """What one frame message costs."""
    return WireBytes(len(frame.packet) + len(frame.image), frame.ByteSize())


def message_bytes(
    *, packet: bytes = b"", image: bytes = b"", size: tuple[int, int], frame_id: int = 1000
) -> int:
    """Total wire bytes of a typical frame; `size` is the picture's (height, width) in pixels."""
    frame = inference_pb2.Frame(
        frame_id=frame_id, deadline_ms=10_000, source_height=size[0], source_width=size[1]
    )
    if packet:
        frame.packet = packet
    else:
        frame.image = image
    return wire_bytes(frame).total_bytes
