"""What an encoder makes of one picture, on its way to the link."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from narrows.images.preprocess import View


@dataclass(frozen=True)
class Payload:
    """What one frame sends, if anything, and the device's time for it, in ns, monotonic."""

    kind: Literal["packet", "image", "nothing"]
    data: bytes
    width: int  # of the preprocessed picture, in pixels, before padding
    height: int
    started_ns: int
    preprocess_ns: int
    head_ns: int
    code_ns: int
    key: Callable[[], bytes] | None = None  # the same frame coded by itself, if `data` is not
    view: View | None = None  # what of the photograph was seen
