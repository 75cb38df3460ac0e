"""The unsplit network: the accuracy to keep, and where the split one starts from."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from narrows.models.backbones import Backbone
from narrows.models.backbones.backbone import stage_outputs
from narrows.models.tasks import TaskHeads
from narrows.training.log import Log
from narrows.training.loop import Step, decayed_groups, fit
from narrows.training.losses import Distillation
from narrows.training.recipe import Phase
from narrows.training.tasks import task_losses
from narrows.training.teacher import normalise
from narrows.training.views import Batch, Crops


def train_unsplit(
    backbone: Backbone,
    teacher: Backbone | None,
    pool: Crops,
    phases: tuple[Phase, ...],
    seed: int,
    run: Path,
    log: Log,
    weights: Mapping[str, float] | None = None,
) -> None:
    """Train the backbone in place from labels and teacher; a checkpoint per phase in `run`.

    `weights`: of the losses of the tasks beside classification.
    """
    backbone.to(memory_format=torch.channels_last).train()
    distil = Distillation(backbone.body_channels, teacher, same=False)
    both = nn.ModuleDict({"backbone": backbone, "distil": distil})
    both.to(next(backbone.parameters()).device)
    for number, phase in enumerate(phases, 1):
        step = _step(backbone, distil, phase, weights or {})
        state = run / f"unsplit-{number}.safetensors"
        fit(both, decayed_groups(both, phase), step, pool, phase, seed + number, state, log)
    backbone.eval()


def _step(
    backbone: Backbone, distil: nn.Module, phase: Phase, weights: Mapping[str, float]
) -> Step:
    body, classify = backbone.rest

    def step(batch: Batch, share: float) -> Tensor:
        with torch.autocast(batch.pixels.device.type, torch.bfloat16):
            stages = list(stage_outputs(body, backbone.front(normalise(batch.pixels, backbone))))
            logits = classify(stages[-1])
        loss: Tensor = distil(batch, logits, stages[-1], phase.loss)
        if isinstance(backbone.tasks, TaskHeads):
            loss = loss + task_losses(backbone.tasks, stages, batch, weights)
        return loss

    return step
