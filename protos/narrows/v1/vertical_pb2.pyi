from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CoordinatorMessage(_message.Message):
    __slots__ = ("ask", "introduce", "meet", "blind", "locate", "agree", "keep", "share", "evaluate", "embed", "finish")
    ASK_FIELD_NUMBER: _ClassVar[int]
    INTRODUCE_FIELD_NUMBER: _ClassVar[int]
    MEET_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    LOCATE_FIELD_NUMBER: _ClassVar[int]
    AGREE_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    EMBED_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    ask: int
    introduce: Introduce
    meet: Meet
    blind: Blind
    locate: Locate
    agree: Agree
    keep: Keep
    share: Share
    evaluate: Evaluate
    embed: Embed
    finish: Finish
    def __init__(self, ask: _Optional[int] = ..., introduce: _Optional[_Union[Introduce, _Mapping]] = ..., meet: _Optional[_Union[Meet, _Mapping]] = ..., blind: _Optional[_Union[Blind, _Mapping]] = ..., locate: _Optional[_Union[Locate, _Mapping]] = ..., agree: _Optional[_Union[Agree, _Mapping]] = ..., keep: _Optional[_Union[Keep, _Mapping]] = ..., share: _Optional[_Union[Share, _Mapping]] = ..., evaluate: _Optional[_Union[Evaluate, _Mapping]] = ..., embed: _Optional[_Union[Embed, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ...) -> None: ...

class PartyMessage(_message.Message):
    __slots__ = ("ask", "hello", "introduction", "blinded", "located", "tables", "kept", "shares", "response", "complaint", "embedding", "finished", "refusal")
    ASK_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    INTRODUCTION_FIELD_NUMBER: _ClassVar[int]
    BLINDED_FIELD_NUMBER: _ClassVar[int]
    LOCATED_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    COMPLAINT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    ask: int
    hello: Hello
    introduction: Introduction
    blinded: Blinded
    located: Located
    tables: Tables
    kept: Kept
    shares: Shares
    response: Response
    complaint: Complaint
    embedding: Embedding
    finished: Finished
    refusal: Refusal
    def __init__(self, ask: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., introduction: _Optional[_Union[Introduction, _Mapping]] = ..., blinded: _Optional[_Union[Blinded, _Mapping]] = ..., located: _Optional[_Union[Located, _Mapping]] = ..., tables: _Optional[_Union[Tables, _Mapping]] = ..., kept: _Optional[_Union[Kept, _Mapping]] = ..., shares: _Optional[_Union[Shares, _Mapping]] = ..., response: _Optional[_Union[Response, _Mapping]] = ..., complaint: _Optional[_Union[Complaint, _Mapping]] = ..., embedding: _Optional[_Union[Embedding, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("name", "terms_digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TERMS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    terms_digest: bytes
    def __init__(self, name: _Optional[str] = ..., terms_digest: _Optional[bytes] = ...) -> None: ...

class Introduce(_message.Message):
    __slots__ = ("session", "parties")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PARTIES_FIELD_NUMBER: _ClassVar[int]
    session: str
    parties: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session: _Optional[str] = ..., parties: _Optional[_Iterable[str]] = ...) -> None: ...

class Introduction(_message.Message):
    __slots__ = ("public_key", "certificate", "signature", "records", "columns")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    certificate: bytes
    signature: bytes
    records: int
    columns: int
    def __init__(self, public_key: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., records: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class Meet(_message.Message):
    __slots__ = ("introductions", "aligned")
    INTRODUCTIONS_FIELD_NUMBER: _ClassVar[int]
    ALIGNED_FIELD_NUMBER: _ClassVar[int]
    introductions: _containers.RepeatedCompositeFieldContainer[Introduction]
    aligned: bool
    def __init__(self, introductions: _Optional[_Iterable[_Union[Introduction, _Mapping]]] = ..., aligned: bool = ...) -> None: ...

class Blind(_message.Message):
    __slots__ = ("owner", "sender", "receiver", "points")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    owner: int
    sender: int
    receiver: int
    points: bytes
    def __init__(self, owner: _Optional[int] = ..., sender: _Optional[int] = ..., receiver: _Optional[int] = ..., points: _Optional[bytes] = ...) -> None: ...

class Blinded(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: bytes
    def __init__(self, points: _Optional[bytes] = ...) -> None: ...

class Locate(_message.Message):
    __slots__ = ("owner", "sender", "receiver", "positions")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    owner: int
    sender: int
    receiver: int
    positions: bytes
    def __init__(self, owner: _Optional[int] = ..., sender: _Optional[int] = ..., receiver: _Optional[int] = ..., positions: _Optional[bytes] = ...) -> None: ...

class Located(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: bytes
    def __init__(self, positions: _Optional[bytes] = ...) -> None: ...

class Agree(_message.Message):
    __slots__ = ("terms", "positions", "sender")
    TERMS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    terms: bytes
    positions: bytes
    sender: int
    def __init__(self, terms: _Optional[bytes] = ..., positions: _Optional[bytes] = ..., sender: _Optional[int] = ...) -> None: ...

class Tables(_message.Message):
    __slots__ = ("terms_digest", "sealed")
    TERMS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    terms_digest: bytes
    sealed: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, terms_digest: _Optional[bytes] = ..., sealed: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Keep(_message.Message):
    __slots__ = ("holder", "sealed")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    holder: int
    sealed: bytes
    def __init__(self, holder: _Optional[int] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class Kept(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Gradient(_message.Message):
    __slots__ = ("round", "step", "values")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    round: int
    step: int
    values: bytes
    def __init__(self, round: _Optional[int] = ..., step: _Optional[int] = ..., values: _Optional[bytes] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("round", "step", "gradients")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    round: int
    step: int
    gradients: _containers.RepeatedCompositeFieldContainer[Gradient]
    def __init__(self, round: _Optional[int] = ..., step: _Optional[int] = ..., gradients: _Optional[_Iterable[_Union[Gradient, _Mapping]]] = ...) -> None: ...

class Shares(_message.Message):
    __slots__ = ("round", "learnt_round", "sealed")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    LEARNT_ROUND_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    round: int
    learnt_round: int
    sealed: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, round: _Optional[int] = ..., learnt_round: _Optional[int] = ..., sealed: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Evaluate(_message.Message):
    __slots__ = ("round", "step", "versions", "sealed")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    round: int
    step: int
    versions: _containers.RepeatedScalarFieldContainer[int]
    sealed: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, round: _Optional[int] = ..., step: _Optional[int] = ..., versions: _Optional[_Iterable[int]] = ..., sealed: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Response(_message.Message):
    __slots__ = ("round", "versions_digest", "values")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    round: int
    versions_digest: bytes
    values: bytes
    def __init__(self, round: _Optional[int] = ..., versions_digest: _Optional[bytes] = ..., values: _Optional[bytes] = ...) -> None: ...

class Complaint(_message.Message):
    __slots__ = ("round", "holders")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    round: int
    holders: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, round: _Optional[int] = ..., holders: _Optional[_Iterable[int]] = ...) -> None: ...

class Embed(_message.Message):
    __slots__ = ("round", "step", "gradients")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    round: int
    step: int
    gradients: _containers.RepeatedCompositeFieldContainer[Gradient]
    def __init__(self, round: _Optional[int] = ..., step: _Optional[int] = ..., gradients: _Optional[_Iterable[_Union[Gradient, _Mapping]]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("round", "learnt_round", "values")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    LEARNT_ROUND_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    round: int
    learnt_round: int
    values: bytes
    def __init__(self, round: _Optional[int] = ..., learnt_round: _Optional[int] = ..., values: _Optional[bytes] = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("gradients",)
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    gradients: _containers.RepeatedCompositeFieldContainer[Gradient]
    def __init__(self, gradients: _Optional[_Iterable[_Union[Gradient, _Mapping]]] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...
