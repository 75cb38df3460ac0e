"""Frames for a spool, each told by its id alone, and a spool's whole content."""

import random

from narrows.edge.spool import Spool
from narrows.edge.spooled import SpooledFrame
from narrows.images.preprocess import View

VIEW = View((640, 480), (0, 0), (640, 480), (298, 224))


def frame(number: int, size: int | None = None) -> SpooledFrame:
    rng = random.Random(number)
    size = rng.randrange(100, 20_000) if size is None else size
    return SpooledFrame(
        id=number,
        captured_ns=1_790_000_000_000_000_000 + number,
        name=f"frame {number}",
        label="cat" if number % 2 else None,
        folder="n01" if number % 2 else None,
        point=number % 6 if number % 3 else None,
        kind="packet" if number % 3 else "image",
        bundle="tiny",
        tasks=("classification", "detection")[: number % 3],
        width=298,
        height=224,
        view=VIEW if number % 2 else None,
        data=rng.randbytes(size),
    )


def content(spool: Spool) -> list[SpooledFrame]:
    found, after = [], 0
    while (oldest := spool.oldest(after)) is not None:
        found.append(oldest)
        after = oldest.id
    return found
