"""Scores of the tasks: top-1, COCO's mean average precision, mean intersection over union.

Each is added to frame by frame, in the photograph's own pixels, and gives a number of 0 to 1.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.images.annotations import UNKNOWN, Boxes

# 255 marks what nobody knows, in masks of both sides.


class Top1:
    """The share of frames whose most probable class is theirs."""

    def __init__(self) -> None:
        self.right: list[bool] = []

    def add(self, found: int, label: int) -> None:
        """The most probable class and the true one."""
        self.right.append(found == label)

    def score(self) -> float:
        return float(np.mean(self.right))


class MeanIoU:
    """Mean over the classes that occur of intersection over union, over all pixels known."""

    def __init__(self, labels: int):
        self.confusion = np.zeros((labels, labels + 1), np.int64)  # rows: true; last: no answer

    def add(self, found: NDArray[np.uint8], true: NDArray[np.uint8]) -> None:
        """Masks (height, width) of one size; what was not seen is a wrong answer."""
        known = true != UNKNOWN
        columns = self.confusion.shape[1]
        answered = np.minimum(found[known], columns - 1).astype(np.int64)
        flat = true[known].astype(np.int64) * columns + answered
        counts = np.bincount(flat, minlength=self.confusion.size)
        self.confusion += counts.reshape(self.confusion.shape)

    def by_class(self) -> NDArray[np.float64]:
        """Per class; not-a-number for those that neither occur nor are answered."""
        hits = np.diag(self.confusion).astype(float)
        union = self.confusion.sum(1) + self.confusion.sum(0)[:-1] - hits
        with np.errstate(invalid="ignore"):
            return hits / union

    def score(self) -> float:
        occurs = self.confusion.sum(1) > 0
        return float(self.by_class()[occurs].mean())


class MeanAP:
    """COCO's: average precision over classes and IoU thresholds 0.5 to 0.95, by pycocotools."""

    def __init__(self, labels: int):
        self.labels = labels
        self._true: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._frames = 0

    def add(
        self,
        boxes: NDArray[np.float32],
        scores: Sequence[float],
        classes: Sequence[int],
        true: Boxes,
    ) -> None:
        """Boxes (n, 4) with scores and classes, and all that are there but for unseen classes."""
        self._frames += 1
        for corners, label, crowd in zip(true.corners, true.classes, true.crowd, strict=True):
            self._true.append(
                _entry(self._frames, corners, int(label))
                | {"id": len(self._true) + 1, "iscrowd": int(crowd)}
            )
        for corners, score, label in zip(boxes, scores, classes, strict=True):
            if int(label) not in true.unseen:
                self._found.append(
                    _entry(self._frames, corners, int(label)) | {"score": float(score)}
                )

    def score(self) -> float:
        """At IoU 0.5 to 0.95."""
        return self.summary()["AP"]

    def summary(self) -> dict[str, float]:
        """AP and AP50; 0 where nothing is there to be found."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        if not self._true or not self._found:
            return {"AP": 0.0, "AP50": 0.0}
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i + 1} for i in range(self._frames)],
            "annotations": self._true,
            "categories": [{"id": c} for c in range(self.labels)],
            "info": {},
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress
            truth.createIndex()
            run = COCOeval(truth, truth.loadRes(self._found), "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
        return {"AP": max(0.0, float(run.stats[0])), "AP50": max(0.0, float(run.stats[1]))}


def _entry(frame: int, corners: NDArray[np.float32], label: int) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(value) for value in corners)
    width, height = x1 - x0, y1 - y0
    return {
        "image_id": frame, "category_id": label,
        "bbox": [x0, y0, width, height], "area": width * height,
    }  # fmt: skip
