"""The terms every phase shares: labels and teacher, over mixed pictures."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.training.recipe import Loss
from narrows.training.teacher import Teacher


def mixed(pixels: Tensor, targets: Tensor, labels: int, alpha: float) -> tuple[Tensor, Tensor]:
    """mixup (Zhang et al. 2018) within the batch; returns pixels, soft targets (batch, labels)."""
    soft = F.one_hot(targets, labels).float()
    if not alpha:
        return pixels, soft
    share = torch.distributions.Beta(alpha, alpha).sample((len(pixels),))
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(len(pixels))
    a = share.view(-1, 1, 1, 1)
    return a * pixels + (1 - a) * pixels[other], share[:, None] * soft + (
        1 - share[:, None]
    ) * soft[other]


def distilled(logits: Tensor, soft: Tensor, taught: Tensor | None, loss: Loss) -> Tensor:
    """Weighted cross entropy to the labels and KL to the teacher's softened distribution."""
    logits = logits.float()
    total = loss.label * F.cross_entropy(logits, soft, label_smoothing=0.05)
    if taught is not None and loss.teacher:
        t = loss.temperature
        log_p = F.log_softmax(logits / t, 1)
        total = total + loss.teacher * t * t * F.kl_div(
            log_p, F.softmax(taught / t, 1), reduction="batchmean"
        )
    return total


def relative_error(features: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error over the variance of what is wanted: 1 is what a constant achieves."""
    wanted = wanted.float()
    if features.shape[2:] != wanted.shape[2:]:
        wanted = F.interpolate(wanted, features.shape[2:], mode="area")
    return F.mse_loss(features.float(), wanted) / wanted.var()


class Distillation(nn.Module):
    """Labels, teacher's answers and teacher's last feature map, as one loss on a classifier.

    The student's map is brought to the teacher's width by a 1x1 convolution, learned with it and
    thrown away after (Romero et al., FitNets, ICLR 2015).
    """

    def __init__(self, teacher: Teacher | None, student_channels: int, loss: Loss):
        super().__init__()
        self._teacher = [teacher] if teacher else []  # in a list: not part of the checkpoint
        self.loss = loss
        if teacher and loss.maps:
            self.project = nn.Conv2d(student_channels, teacher.dimension, 1)

    def forward(self, pixels: Tensor, soft: Tensor, logits: Tensor, maps: Tensor) -> Tensor:
        """Pixels (batch, 3, h, w), targets and logits (batch, labels), maps (batch, c, h, w)."""
        if not self._teacher:
            return distilled(logits, soft, None, self.loss)
        taught, wanted = self._teacher[0](pixels)
        total = distilled(logits, soft, taught, self.loss)
        if self.loss.maps:
            total = total + self.loss.maps * relative_error(self.project(maps.float()), wanted)
        return total
