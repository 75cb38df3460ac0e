"""The split network in one stage: head, bottleneck, decoder and rest together.

loss = labels + teacher + features at the cut + lambda_p * bits per pixel, every operating point p
in every batch. Entropic Student (Matsubara et al., WACV 2022) freezes the encoder halfway; one
stage lets the rate and the task trade until the end.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from narrows.models.backbones import Backbone
from narrows.models.bottleneck import RateBottleneck
from narrows.models.head import PatchHead
from narrows.models.tail import build_tail
from narrows.training.data import Photographs
from narrows.training.loop import Step, decayed_groups, fit
from narrows.training.losses import Distillation, mixed, relative_error
from narrows.training.recipe import Recipe, SplitPhase
from narrows.training.teacher import Teacher
from narrows.training.unsplit import normalise


class SplitModel(nn.Module):
    """Head, bottleneck and tail as one trainable network."""

    def __init__(self, recipe: Recipe, labels: int):
        super().__init__()
        self.labels = labels
        spec = recipe.head
        self.head = PatchHead(**spec.model_dump(), mean=recipe.mean, std=recipe.std)
        self.bottleneck = RateBottleneck(spec.channels, recipe.split[0].rates)
        self.tail = build_tail(tail_config(recipe, labels))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (batch, 3, h, w) -> last feature map, bits per point, decoded features."""
        with torch.autocast("cpu", torch.bfloat16):
            latent = self.head(pixels.contiguous(memory_format=torch.channels_last))
        received, bits = self.bottleneck(latent)
        with torch.autocast("cpu", torch.bfloat16):
            features = self.tail.decoder(received.contiguous(memory_format=torch.channels_last))
            return self.tail.rest[0](features), bits, features


def tail_config(recipe: Recipe, labels: int) -> dict:
    """What a manifest must say for the tail to be built again."""
    return {
        "backbone": recipe.backbone,
        "labels": labels,
        "channels": recipe.head.channels,
        "blocks": recipe.decoder_blocks,
    }


def train_split(
    unsplit: Backbone,
    teacher: Teacher | None,
    data: Photographs,
    recipe: Recipe,
    seed: int,
    run: Path,
    report: Callable[[str], None],
) -> SplitModel:
    """Train a split network whose rest starts from the unsplit one, phase after phase."""
    torch.manual_seed(seed + 1)
    model = SplitModel(recipe, len(data.labels))
    model.tail.rest.load_state_dict(unsplit.rest.state_dict())
    model.to(memory_format=torch.channels_last)
    unsplit.eval().requires_grad_(False)
    distil = Distillation(teacher, unsplit.body_channels, recipe.split_loss)
    reached = torch.zeros(len(recipe.split[0].rates))
    for number, phase in enumerate(recipe.split, 1):
        rates = torch.tensor(phase.rates)
        step = _step(model, distil, unsplit, (reached, rates), phase.mixup, recipe)
        reached = rates
        both = nn.ModuleDict({"model": model, "distil": distil})
        groups = [
            *_groups(model, phase),
            *decayed_groups(distil, phase.learning_rate, phase.weight_decay),
        ]
        state = run / f"split-{number}.safetensors"
        fit(both, groups, step, data, phase, seed + number, state, report)
    return model.eval()


def _step(
    model: SplitModel,
    distil: Distillation,
    unsplit: Backbone,
    rates: tuple[Tensor, Tensor],
    mixup: float,
    recipe: Recipe,
) -> Step:
    """The loss of one batch in a phase whose rates rise from the first to the second."""
    weights = recipe.split_loss
    labels = model.labels

    def step(pixels: Tensor, targets: Tensor, share: float) -> Tensor:
        pixels, soft = mixed(pixels, targets, labels, mixup)
        maps, bits, features = model(pixels)
        loss = distil(pixels, soft, model.tail.rest[1](maps.float()), maps)
        if weights.features:
            loss = loss + weights.features * relative_error(
                features, _front(unsplit, pixels, recipe)
            )
        warm = min(1.0, share / weights.rate_warmup)
        now = rates[0] + warm * (rates[1] - rates[0])
        return loss + (now * bits).mean() / pixels[0, 0].numel()

    return step


def _groups(model: SplitModel, phase: SplitPhase) -> list[dict]:
    new = nn.ModuleList([model.head, model.tail.decoder])
    prior = [p for p in model.bottleneck.parameters() if p.requires_grad]
    return [
        *decayed_groups(new, phase.learning_rate, phase.weight_decay),
        *decayed_groups(model.tail.rest, phase.learning_rate * phase.rest_rate, phase.weight_decay),
        {"params": prior, "lr": phase.learning_rate, "weight_decay": 0.0},
    ]


def _front(unsplit: Backbone, pixels: Tensor, recipe: Recipe) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return unsplit.front(normalise(pixels, recipe))
