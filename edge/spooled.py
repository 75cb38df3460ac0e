"""A frame that waits for its answer, with all that must be known to have it given later."""

from dataclasses import dataclass
from typing import Literal

from narrows.images.preprocess import View


@dataclass(frozen=True)
class SpooledFrame:
    """A frame's packet, or its picture."""

    id: int  # by capture: the smallest was captured first
    captured_ns: int  # since 1970
    name: str
    label: str | None  # the source's, if it knows
    folder: str | None
    point: int | None  # None of a picture
    kind: Literal["packet", "image"]
    bundle: str  # the name the server knows it by; which version, the packet says
    tasks: tuple[str, ...]
    width: int  # of the preprocessed picture, in pixels
    height: int
    view: View | None
    data: bytes
