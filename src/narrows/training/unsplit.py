"""The unsplit network: the accuracy to keep, and where the split one starts from."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from narrows.models.backbones import Backbone
from narrows.training.data import Photographs
from narrows.training.loop import decayed_groups, fit
from narrows.training.losses import Distillation, mixed
from narrows.training.recipe import Phase, Recipe
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
    phase: Phase,
    seed: int,
    state: Path,
    report: Callable[[str], None],
) -> None:
    """Train the backbone in place from labels and teacher; `state` is its checkpoint."""
    backbone.to(memory_format=torch.channels_last)
    distil = Distillation(teacher, backbone.body_channels, recipe.unsplit_loss)
    body, classify = backbone.rest

    def step(pixels: Tensor, targets: Tensor, share: float) -> Tensor:
        pixels, soft = mixed(pixels, targets, len(data.labels), phase.mixup)
        with torch.autocast("cpu", torch.bfloat16):
            maps = body(backbone.front(normalise(pixels, recipe)))
            logits = classify(maps)
        return distil(pixels, soft, logits, maps)

    both = nn.ModuleDict({"backbone": backbone, "distil": distil})
    groups = decayed_groups(both, phase.learning_rate, phase.weight_decay)
    fit(both, groups, step, data, phase, seed, state, report)
