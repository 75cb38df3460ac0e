"""The two terms every phase shares: labels and teacher, over mixed pictures."""

import torch
import torch.nn.functional as F
from torch import Tensor

from narrows.training.recipe import Loss


def mixed(pixels: Tensor, targets: Tensor, labels: int, alpha: float) -> tuple[Tensor, Tensor]:
    """mixup (Zhang et al. 2018) within the batch; returns pixels and soft targets (batch, labels)."""
    soft = F.one_hot(targets, labels).float()
    if not alpha:
        return pixels, soft
    share = torch.distributions.Beta(alpha, alpha).sample((len(pixels),))
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(len(pixels))
    a = share.view(-1, 1, 1, 1)
    return a * pixels + (1 - a) * pixels[other], share[:, None] * soft + (1 - share[:, None]) * soft[other]


def distilled(logits: Tensor, soft: Tensor, teacher: Tensor | None, loss: Loss) -> Tensor:
    """Weighted cross entropy to the labels and KL to the teacher's softened distribution."""
    logits = logits.float()
    total = loss.label * F.cross_entropy(logits, soft, label_smoothing=0.05)
    if teacher is not None and loss.teacher:
        t = loss.temperature
        log_p = F.log_softmax(logits / t, 1)
        total = total + loss.teacher * t * t * F.kl_div(log_p, F.softmax(teacher / t, 1), reduction="batchmean")
    return total
