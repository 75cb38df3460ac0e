"""A multi-task network's heads beside its classifier, each on as much of the body as it shares.

A head branches off after `branch` of the body's stages and has the stages after that for itself;
without it, it shares all of them. A frame pays for the shared stages once.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import ConfigError
from narrows.models.backbones.backbone import stage_outputs
from narrows.models.tasks.detection import DetectionHead
from narrows.models.tasks.segmentation import SegmentationHead
from narrows.models.tasks.yolox import YoloxHead


def _detection(kind: str = "fcos", **options: Any) -> nn.Module:
    return YoloxHead(**options) if kind == "yolox" else DetectionHead(kind=kind, **options)


HEADS: dict[str, Callable[..., nn.Module]] = {
    "detection": _detection,
    "segmentation": SegmentationHead,
}


class TaskHeads(nn.Module):
    """Heads by task name: "detection", "segmentation"."""

    def __init__(
        self,
        config: Mapping[str, Mapping[str, Any]],
        body: nn.Sequential,
        channels: int,
        stride: int,
    ):
        """A head for every task of `config`, over `body`, whose input has `channels` and `stride`.

        Raises:
            ConfigError: an unknown task or key, or a branch the body does not have.
        """
        super().__init__()
        self.config = {task: dict(given) for task, given in config.items()}  # as a manifest has it
        widths, strides = _maps_of(body, channels, stride)
        self.heads, self.private, self.branches = nn.ModuleDict(), nn.ModuleDict(), {}
        for task, given in config.items():
            if task not in HEADS:
                raise ConfigError(f"task {task!r}: choose one of: {', '.join(HEADS)}")
            options = dict(given)
            branch = options.pop("branch", len(body))
            if not 1 <= branch <= len(body):
                raise ConfigError(f"{task}: branch {branch}: the body has stages 1 to {len(body)}")
            self.branches[task] = branch
            if branch < len(body):
                self.private[task] = copy.deepcopy(body[branch:])
            try:
                self.heads[task] = HEADS[task](channels=widths, strides=strides, **options)
            except TypeError as error:
                raise ConfigError(f"{task}: {error}") from None

    def maps(self, task: str, shared: Sequence[Tensor]) -> list[Tensor]:
        """What a task's head takes: the shared stages' outputs to its branch, then its own."""
        branch = self.branches[task]
        own = self.private[task] if task in self.private else nn.Sequential()
        return [*shared[:branch], *stage_outputs(own, shared[branch - 1])]

    def forward(
        self, shared: Sequence[Tensor], size: tuple[int, int], wanted: Collection[str]
    ) -> dict[str, Any]:
        """Outputs of the body's stages, of pictures of `size` -> each wanted task's output."""
        answers: dict[str, Any] = {}
        for task, head in self.heads.items():
            if task not in wanted:
                continue
            maps = self.maps(task, shared)
            answers[task] = head(maps, size, None) if task == "detection" else head(maps)
        return answers


@torch.no_grad()
def _maps_of(body: nn.Sequential, channels: int, stride: int) -> tuple[list[int], list[int]]:
    """Channels and strides of the stages' outputs."""
    training = body.training
    body.eval()
    side = 32
    outputs = list(stage_outputs(body, torch.zeros(1, channels, side, side)))
    body.train(training)
    return [m.shape[1] for m in outputs], [stride * side // m.shape[2] for m in outputs]
