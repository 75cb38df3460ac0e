"""What is known of a photograph: a class, boxes, a mask, any of them or all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TaskKind = Literal["classification", "detection", "segmentation"]
UNKNOWN = 255  # in a mask


@dataclass(frozen=True, eq=False)
class Boxes:
    """Things in a photograph, in its pixels, upright."""

    corners: NDArray[np.float32]  # (n, 4): x0, y0, x1, y1
    classes: NDArray[np.int64]  # (n,)
    crowd: NDArray[np.bool_]  # (n,): around many of a kind, neither right nor wrong to find
    unseen: frozenset[int] = frozenset()  # classes nobody looked for here

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]], unseen: frozenset[int] = frozenset()) -> "Boxes":
        """Rows [class, x0, y0, x1, y1], with or without a crowd flag. Raises ValueError."""
        table = np.array([[*row, 0][:6] for row in rows], np.float64).reshape(-1, 6)
        corners = table[:, 1:5].astype(np.float32)
        return cls(corners, table[:, 0].astype(np.int64), table[:, 5] > 0, unseen)


@dataclass(frozen=True, eq=False)
class Annotation:
    """One photograph of a set; None is not known."""

    name: str
    part: str
    label: int | None = None
    boxes: Boxes | None = None
    mask: str | None = None  # the name of a picture, classes by pixel


@dataclass(frozen=True)
class Layout:
    """A whole set: its classes by task, its photographs."""

    labels: dict[TaskKind, tuple[str, ...]]
    annotations: tuple[Annotation, ...]
    # From a mask's stored values to classes, as 256 entries; None: as they are.
    values: NDArray[np.uint8] | None = None
