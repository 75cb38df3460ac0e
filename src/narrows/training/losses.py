"""The terms every phase shares: labels, the teacher's answers, features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.models.backbones import Backbone
from narrows.training.recipe import Loss
from narrows.training.views import GRID, Batch


def distilled(logits: Tensor, batch: Batch, loss: Loss) -> Tensor:
    """Weighted cross entropy to the labels and KL to the teacher's softened distribution."""
    logits = logits.float()
    total = logits.new_zeros(())
    if (batch.targets >= 0).any():
        total = total + loss.label * F.cross_entropy(
            logits, batch.targets, ignore_index=-1, label_smoothing=0.05
        )
    if batch.logits is not None and loss.teacher:
        t = loss.temperature
        kl = F.kl_div(
            F.log_softmax(logits / t, 1), F.softmax(batch.logits / t, 1), reduction="batchmean"
        )
        total = total + loss.teacher * t * t * kl
    return total


def relative_error(features: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error over the variance of what is wanted: 1 is what a constant achieves.

    `weight`: (batch, 1, h, w), of every position.
    """
    wanted = wanted.float()
    if features.shape[2:] != wanted.shape[2:]:
        wanted = F.interpolate(wanted, features.shape[2:], mode="area")
    error = (features.float() - wanted).square()
    if weight is not None:
        error = error * F.interpolate(weight, features.shape[2:], mode="bilinear")
    return error.mean() / wanted.var()


def saliency(batch: Batch, teacher: Backbone) -> Tensor:
    """How much the teacher's answer rests on each place: (batch, 1, GRID, GRID), 1/2 to 1.

    FrankenSplit weighs its distortion by (d + d * s) / 2 with XGradCAM's maps s; under global
    pooling and a linear classifier these are class activation maps (Zhou et al., CVPR 2016).
    """
    assert batch.maps is not None
    weights = teacher.classifier.weight[batch.targets]  # (batch, c)
    if weights.shape[1] != batch.maps.shape[1]:  # a layer lies between: all channels alike
        weights = torch.ones(batch.maps.shape[:2], device=batch.maps.device)
    seen = torch.relu((batch.maps * weights[:, :, None, None]).sum(1, keepdim=True))
    return (1 + seen / seen.amax((2, 3), keepdim=True).clamp_min(1e-6)) / 2


class Distillation(nn.Module):
    """Labels, teacher's answers and teacher's last feature map, as one loss on a classifier.

    Where student and teacher are different networks, the student's map is brought to the teacher's
    width by a 1x1 convolution, learned with it and thrown away after (FitNets, ICLR 2015).
    """

    def __init__(self, student_channels: int, teacher: Backbone | None, same: bool):
        super().__init__()
        self.project: nn.Module = nn.Identity()
        if teacher is not None and not same:
            self.project = nn.Conv2d(student_channels, teacher.body_channels, 1)

    def forward(self, batch: Batch, logits: Tensor, maps: Tensor, loss: Loss) -> Tensor:
        """Logits (batch, labels) and last maps (batch, c, h, w) of the student."""
        total = distilled(logits, batch, loss)
        if loss.maps and batch.maps is not None:
            pooled = F.adaptive_avg_pool2d(self.project(maps.float()), GRID)
            total = total + loss.maps * relative_error(pooled, batch.maps)
        return total
