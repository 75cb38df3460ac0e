from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Frame(_message.Message):
    __slots__ = ("frame_id", "bundle", "packet", "image", "deadline_ms", "source_width", "source_height", "tasks", "traceparent")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    bundle: str
    packet: bytes
    image: bytes
    deadline_ms: int
    source_width: int
    source_height: int
    tasks: _containers.RepeatedScalarFieldContainer[str]
    traceparent: str
    def __init__(self, frame_id: _Optional[int] = ..., bundle: _Optional[str] = ..., packet: _Optional[bytes] = ..., image: _Optional[bytes] = ..., deadline_ms: _Optional[int] = ..., source_width: _Optional[int] = ..., source_height: _Optional[int] = ..., tasks: _Optional[_Iterable[str]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("frame_id", "status", "classification", "timing", "answered_by", "queue_depth", "detections", "segmentation")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_DEPTH_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    status: FrameStatus
    classification: Classification
    timing: ServerTiming
    answered_by: str
    queue_depth: int
    detections: Detections
    segmentation: Segmentation
    def __init__(self, frame_id: _Optional[int] = ..., status: _Optional[_Union[FrameStatus, _Mapping]] = ..., classification: _Optional[_Union[Classification, _Mapping]] = ..., timing: _Optional[_Union[ServerTiming, _Mapping]] = ..., answered_by: _Optional[str] = ..., queue_depth: _Optional[int] = ..., detections: _Optional[_Union[Detections, _Mapping]] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ...) -> None: ...

class FrameStatus(_message.Message):
    __slots__ = ("code", "message", "retry_after_ms", "cheaper_point")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OK: _ClassVar[FrameStatus.Code]
        UNKNOWN_BUNDLE: _ClassVar[FrameStatus.Code]
        WRONG_DIGEST: _ClassVar[FrameStatus.Code]
        BAD_CHECKSUM: _ClassVar[FrameStatus.Code]
        TRUNCATED: _ClassVar[FrameStatus.Code]
        WRONG_SHAPE: _ClassVar[FrameStatus.Code]
        TOO_LARGE: _ClassVar[FrameStatus.Code]
        DEADLINE_EXCEEDED: _ClassVar[FrameStatus.Code]
        MALFORMED: _ClassVar[FrameStatus.Code]
        UNSUPPORTED_VERSION: _ClassVar[FrameStatus.Code]
        OVERLOADED: _ClassVar[FrameStatus.Code]
        INTERNAL: _ClassVar[FrameStatus.Code]
        NEED_KEY_FRAME: _ClassVar[FrameStatus.Code]
        UNKNOWN_TASK: _ClassVar[FrameStatus.Code]
        NOT_ALLOWED: _ClassVar[FrameStatus.Code]
        QUOTA_EXCEEDED: _ClassVar[FrameStatus.Code]
    OK: FrameStatus.Code
    UNKNOWN_BUNDLE: FrameStatus.Code
    WRONG_DIGEST: FrameStatus.Code
    BAD_CHECKSUM: FrameStatus.Code
    TRUNCATED: FrameStatus.Code
    WRONG_SHAPE: FrameStatus.Code
    TOO_LARGE: FrameStatus.Code
    DEADLINE_EXCEEDED: FrameStatus.Code
    MALFORMED: FrameStatus.Code
    UNSUPPORTED_VERSION: FrameStatus.Code
    OVERLOADED: FrameStatus.Code
    INTERNAL: FrameStatus.Code
    NEED_KEY_FRAME: FrameStatus.Code
    UNKNOWN_TASK: FrameStatus.Code
    NOT_ALLOWED: FrameStatus.Code
    QUOTA_EXCEEDED: FrameStatus.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    CHEAPER_POINT_FIELD_NUMBER: _ClassVar[int]
    code: FrameStatus.Code
    message: str
    retry_after_ms: int
    cheaper_point: int
    def __init__(self, code: _Optional[_Union[FrameStatus.Code, str]] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ..., cheaper_point: _Optional[int] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("labels",)
    class Label(_message.Message):
        __slots__ = ("index", "name", "probability")
        INDEX_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        PROBABILITY_FIELD_NUMBER: _ClassVar[int]
        index: int
        name: str
        probability: float
        def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Classification.Label]
    def __init__(self, labels: _Optional[_Iterable[_Union[Classification.Label, _Mapping]]] = ...) -> None: ...

class Detections(_message.Message):
    __slots__ = ("boxes",)
    class Box(_message.Message):
        __slots__ = ("x0", "y0", "x1", "y1", "index", "name", "score")
        X0_FIELD_NUMBER: _ClassVar[int]
        Y0_FIELD_NUMBER: _ClassVar[int]
        X1_FIELD_NUMBER: _ClassVar[int]
        Y1_FIELD_NUMBER: _ClassVar[int]
        INDEX_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        SCORE_FIELD_NUMBER: _ClassVar[int]
        x0: float
        y0: float
        x1: float
        y1: float
        index: int
        name: str
        score: float
        def __init__(self, x0: _Optional[float] = ..., y0: _Optional[float] = ..., x1: _Optional[float] = ..., y1: _Optional[float] = ..., index: _Optional[int] = ..., name: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...
    BOXES_FIELD_NUMBER: _ClassVar[int]
    boxes: _containers.RepeatedCompositeFieldContainer[Detections.Box]
    def __init__(self, boxes: _Optional[_Iterable[_Union[Detections.Box, _Mapping]]] = ...) -> None: ...

class Segmentation(_message.Message):
    __slots__ = ("png", "names")
    PNG_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    png: bytes
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, png: _Optional[bytes] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class ServerTiming(_message.Message):
    __slots__ = ("received_ns", "sent_ns", "queue_ns", "decode_ns", "tail_ns", "reply_ns", "batch_size")
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NS_FIELD_NUMBER: _ClassVar[int]
    DECODE_NS_FIELD_NUMBER: _ClassVar[int]
    TAIL_NS_FIELD_NUMBER: _ClassVar[int]
    REPLY_NS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    received_ns: int
    sent_ns: int
    queue_ns: int
    decode_ns: int
    tail_ns: int
    reply_ns: int
    batch_size: int
    def __init__(self, received_ns: _Optional[int] = ..., sent_ns: _Optional[int] = ..., queue_ns: _Optional[int] = ..., decode_ns: _Optional[int] = ..., tail_ns: _Optional[int] = ..., reply_ns: _Optional[int] = ..., batch_size: _Optional[int] = ...) -> None: ...

class PingRequest(_message.Message):
    __slots__ = ("bundle",)
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    bundle: str
    def __init__(self, bundle: _Optional[str] = ...) -> None: ...

class PingReply(_message.Message):
    __slots__ = ("received_ns", "wait_ms", "streams", "unserved")
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    UNSERVED_FIELD_NUMBER: _ClassVar[int]
    received_ns: int
    wait_ms: int
    streams: int
    unserved: bool
    def __init__(self, received_ns: _Optional[int] = ..., wait_ms: _Optional[int] = ..., streams: _Optional[int] = ..., unserved: bool = ...) -> None: ...
