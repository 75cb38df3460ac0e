"""The unsplit network: the accuracy to keep, and where the split one starts from."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from narrows.models.backbones import Backbone
from narrows.training.data import Photographs
from narrows.training.losses import distilled, mixed
from narrows.training.loop import decayed_groups, fit
from narrows.training.recipe import Recipe
from narrows.training.teacher import Teacher


def normalise(pixels: Tensor, recipe: Recipe) -> Tensor:
    """0..255 -> the backbone's range, channels last in memory."""
    mean = torch.tensor(recipe.mean).view(1, 3, 1, 1) * 255
    std = torch.tensor(recipe.std).view(1, 3, 1, 1) * 255
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def train_unsplit(
    backbone: Backbone,
    teacher: Teacher | None,
    data: Photographs,
    recipe: Recipe,
    seed: int,
    run: Path,
    report: Callable[[str], None],
) -> None:
    """Train the backbone in place from labels and teacher."""
    backbone.to(memory_format=torch.channels_last)
    phase = recipe.unsplit

    def step(pixels: Tensor, targets: Tensor, share: float) -> Tensor:
        pixels, soft = mixed(pixels, targets, len(data.labels), phase.mixup)
        with torch.autocast("cpu", torch.bfloat16):
            logits = backbone(normalise(pixels, recipe))
        return distilled(logits, soft, teacher(pixels) if teacher else None, recipe.unsplit_loss)

    groups = decayed_groups(backbone, phase.learning_rate, phase.weight_decay)
    fit(backbone, groups, step, data, phase, seed, run / "unsplit.safetensors", report)
