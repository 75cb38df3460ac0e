"""A frame that is not served: a status code of the contract, and a sentence for a person."""

from narrows import errors
from narrows.protos.narrows.v1 import inference_pb2

Code = inference_pb2.FrameStatus.Code

# Most specific first: the first class an error is an instance of decides.
CODES: tuple[tuple[type[errors.NarrowsError], Code], ...] = (
    (errors.TruncatedPacket, inference_pb2.FrameStatus.TRUNCATED),
    (errors.ChecksumError, inference_pb2.FrameStatus.BAD_CHECKSUM),
    (errors.UnsupportedVersion, inference_pb2.FrameStatus.UNSUPPORTED_VERSION),
    (errors.ShapeError, inference_pb2.FrameStatus.WRONG_SHAPE),
    (errors.MissingReference, inference_pb2.FrameStatus.NEED_KEY_FRAME),
    (errors.CorruptPayload, inference_pb2.FrameStatus.MALFORMED),
    (errors.PacketError, inference_pb2.FrameStatus.MALFORMED),
    (errors.SourceError, inference_pb2.FrameStatus.MALFORMED),
)


class Refusal(Exception):
    """Why a frame has no answer; the stream it came on lives on."""

    def __init__(self, code: Code, message: str, retry_after_ms: int = 0):
        super().__init__(message)
        self.code, self.message, self.retry_after_ms = code, message, retry_after_ms

    @property
    def for_want_of_time(self) -> bool:
        """Whether a frame that had left earlier, or been smaller, might have been served."""
        return self.code in (Code.OVERLOADED, Code.DEADLINE_EXCEEDED)

    @classmethod
    def of(cls, error: errors.NarrowsError) -> "Refusal":
        """The refusal that stands for a packet's or picture's error."""
        code = next(code for kind, code in CODES if isinstance(error, kind))
        return cls(code, str(error))
