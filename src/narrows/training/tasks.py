"""The losses of the tasks beside classification, each by its own head and weight."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from narrows.images.annotations import UNKNOWN
from narrows.models.tasks import TaskHeads
from narrows.training.views import Batch


def task_losses(
    heads: TaskHeads, stages: Sequence[Tensor], batch: Batch, weights: Mapping[str, float]
) -> Tensor:
    """Weighted sum over the tasks, each over the samples that know of it.

    `stages`: outputs of the shared body's stages. Boxes by the detector's own losses, masks by
    cross entropy at the pictures' own resolution.
    """
    total = stages[0].new_zeros(())
    if "detection" in heads.heads:
        total = total + weights.get("detection", 1.0) * _detection(heads, stages, batch)
    if "segmentation" in heads.heads:
        total = total + weights.get("segmentation", 1.0) * _segmentation(heads, stages, batch)
    return total


def _detection(heads: TaskHeads, stages: Sequence[Tensor], batch: Batch) -> Tensor:
    known = [i for i, boxes in enumerate(batch.boxes) if boxes is not None]
    if not known:
        return stages[0].new_zeros(())
    kind = stages[0].device.type
    with torch.autocast(kind, torch.bfloat16):
        maps = [m[known].float() for m in heads.maps("detection", stages)]
    targets = [boxes for boxes in batch.boxes if boxes is not None]
    size = (batch.pixels.shape[2], batch.pixels.shape[3])
    with torch.autocast(kind, enabled=False):  # distances need all their bits
        loss: Tensor = heads.heads["detection"](maps, size, targets)
    return loss


def _segmentation(heads: TaskHeads, stages: Sequence[Tensor], batch: Batch) -> Tensor:
    assert batch.masks is not None
    wanted = batch.masks.long()
    if (wanted == UNKNOWN).all():
        return stages[0].new_zeros(())
    with torch.autocast(stages[0].device.type, torch.bfloat16):
        logits = heads.heads["segmentation"](heads.maps("segmentation", stages))
    logits = F.interpolate(logits.float(), wanted.shape[1:], mode="bilinear")
    return F.cross_entropy(logits, wanted, ignore_index=UNKNOWN)
