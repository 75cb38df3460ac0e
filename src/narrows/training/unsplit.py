"""The unsplit network: the accuracy to keep, and where the split one starts from."""

from pathlib import Path

import torch
from torch import Tensor, nn

from narrows.models.backbones import Backbone
from narrows.training.log import Log
from narrows.training.loop import Step, decayed_groups, fit
from narrows.training.losses import Distillation
from narrows.training.recipe import Phase
from narrows.training.teacher import normalise
from narrows.training.views import Batch, Pool


def train_unsplit(
    backbone: Backbone,
    teacher: Backbone | None,
    pool: Pool,
    phases: tuple[Phase, ...],
    seed: int,
    run: Path,
    log: Log,
) -> None:
    """Train the backbone in place from labels and teacher; a checkpoint per phase in `run`."""
    backbone.to(memory_format=torch.channels_last).train()
    body, classify = backbone.rest
    distil = Distillation(backbone.body_channels, teacher, same=False)
    both = nn.ModuleDict({"backbone": backbone, "distil": distil})
    for number, phase in enumerate(phases, 1):
        step = _step(backbone, body, classify, distil, phase)
        state = run / f"unsplit-{number}.safetensors"
        fit(both, decayed_groups(both, phase), step, pool, phase, seed + number, state, log)
    backbone.eval()


def _step(
    backbone: Backbone, body: nn.Module, classify: nn.Module, distil: nn.Module, phase: Phase
) -> Step:
    def step(batch: Batch, share: float) -> Tensor:
        with torch.autocast(batch.pixels.device.type, torch.bfloat16):
            maps = body(backbone.front(normalise(batch.pixels, backbone)))
            logits = classify(maps)
        return distil(batch, logits, maps, phase.loss)  # type: ignore[no-any-return]

    return step
