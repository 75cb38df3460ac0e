"""A network's answer as the contract's result."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narrows.models.tasks.answer import Answer
from narrows.models.tasks.detection import Detections
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.admission import Job

TOP_LABELS = 5


def result_of(job: Job, answer: Answer, timing: inference_pb2.ServerTiming) -> inference_pb2.Result:
    """Every task that was answered, classes by name."""
    names = job.bundle.manifest.labels_of
    result = inference_pb2.Result(frame_id=job.frame_id, timing=timing)
    if answer.probabilities is not None:
        found = _classification(answer.probabilities, names["classification"])
        result.classification.CopyFrom(found)
    if answer.detections is not None:
        result.detections.CopyFrom(_detections(answer.detections, names["detection"]))
    if answer.mask is not None:
        result.segmentation.CopyFrom(
            inference_pb2.Segmentation(png=_png(answer.mask), names=names["segmentation"])
        )
    return result


def _classification(
    probabilities: NDArray[np.float32], names: tuple[str, ...]
) -> inference_pb2.Classification:
    best = np.argsort(-probabilities)[:TOP_LABELS]
    return inference_pb2.Classification(
        labels=[
            inference_pb2.Classification.Label(
                index=int(i), name=names[i], probability=float(probabilities[i])
            )
            for i in best
        ]
    )


def _detections(found: Detections, names: tuple[str, ...]) -> inference_pb2.Detections:
    rows = zip(found.boxes.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True)
    return inference_pb2.Detections(
        boxes=[
            inference_pb2.Detections.Box(
                x0=x0, y0=y0, x1=x1, y1=y1, index=index, name=names[index], score=score
            )
            for (x0, y0, x1, y1), index, score in rows
        ]
    )


def _png(mask: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "png", compress_level=1)
    return file.getvalue()
