"""What the next frame of a stream may be coded against: the packet before it.

A packet's symbols are worked out when the frame after it needs them, not before: an intra packet
that no other follows costs nothing more, and one that expired in the queue is decoded all the same.
"""

from narrows.codec.bitstream import Packet
from narrows.codec.frame import FrameCodec
from narrows.codec.inter import Reference
from narrows.errors import MissingReference, PacketError

MAX_UNDECODED = 64  # packets kept for the sake of a later one


class CodedFrame:
    """One packet of a stream, with the one before it where it is coded against that."""

    def __init__(self, codec: FrameCodec, packet: Packet, before: "CodedFrame | None"):
        """Raises MissingReference: an inter packet without a frame of this bundle before it."""
        self._codec, self._packet = codec, packet
        self._before: CodedFrame | None = None
        self._decoded: Reference | PacketError | None = None
        if packet.header.reference is None:
            return
        if before is None or before._codec is not codec:
            raise MissingReference("coded against a frame this stream did not bring: send a key")
        if before._undecoded() >= MAX_UNDECODED:
            raise MissingReference(f"{MAX_UNDECODED} frames before it wait undecoded: send a key")
        self._before = before

    def reference(self) -> Reference:
        """Its symbols; decodes the frames before it that nobody asked for. Raises PacketError."""
        chain: list[CodedFrame] = []
        frame: CodedFrame | None = self
        while frame is not None and frame._decoded is None:
            chain.append(frame)
            frame = frame._before
        for frame in reversed(chain):
            frame._decode()
        if isinstance(self._decoded, Reference):
            return self._decoded
        assert self._decoded is not None
        raise self._decoded

    def _decode(self) -> None:
        before = None if self._before is None else self._before._decoded
        try:
            if isinstance(before, PacketError):
                raise MissingReference("the frame before it does not decode: send a key frame")
            symbols = self._codec.decode_symbols(self._packet, before)
            self._decoded = Reference(symbols, self._packet.header.point)
        except PacketError as error:
            self._decoded = error
        self._before = None  # its memory is free

    def _undecoded(self) -> int:
        count, frame = 0, self
        while frame._decoded is None:
            count += 1
            before = frame._before  # read once: the decoding thread lets go of it
            if before is None:
                break
            frame = before
        return count


class History:
    """A stream's newest packet by frame id: one resent is no newer for having come later."""

    def __init__(self) -> None:
        self._newest: CodedFrame | None = None
        self._newest_id = -1

    def add(self, frame_id: int, codec: FrameCodec, packet: Packet) -> CodedFrame:
        """Note a packet that came. Raises MissingReference."""
        frame = CodedFrame(codec, packet, self._newest)
        if frame_id > self._newest_id:
            self._newest, self._newest_id = frame, frame_id
        return frame
