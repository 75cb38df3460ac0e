"""What a network says of one frame, task by task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from narrows.models.tasks import detection, segmentation
from narrows.models.tasks.detection import Detections


@dataclass(frozen=True, eq=False)
class Answer:
    """Of the tasks asked for; None for others. In pixels of the picture as the network saw it."""

    probabilities: NDArray[np.float32] | None = None  # (labels,)
    detections: Detections | None = None
    mask: NDArray[np.uint8] | None = None  # (height, width), a class for every pixel


def answers_of(
    logits: Tensor | None,
    outputs: Mapping[str, Any],
    padded: tuple[int, int],
    sizes: Sequence[tuple[int, int]],
) -> list[Answer]:
    """A batch's outputs -> an answer per frame.

    logits: the classifier's (batch, labels), or None. outputs: of TaskHeads. padded: (height,
    width) of the pictures with padding; sizes: without, frame by frame, zeros where nobody knows
    it. A size beyond the padded one is as good as that.
    """
    count = len(sizes)
    inside = [tuple(min(s or p, p) for s, p in zip(size, padded, strict=True)) for size in sizes]
    found = outputs.get("detection", [None] * count)
    probabilities = (
        [None] * count if logits is None else list(logits.float().softmax(1).cpu().numpy())
    )
    masks: list[Any] = [None] * count
    if "segmentation" in outputs:
        masks = list(segmentation.masks(outputs["segmentation"], padded).cpu().numpy())
    return [
        Answer(
            probabilities[i],
            None if found[i] is None else detection.read(found[i], (height, width)),
            None if masks[i] is None else masks[i][:height, :width],
        )
        for i, (height, width) in enumerate(inside)
    ]
