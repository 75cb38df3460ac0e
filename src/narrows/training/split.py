"""The split network in one stage: head, bottleneck, decoder and rest together.

loss = labels + teacher + features at the cut + lambda_p * bits per pixel, every operating point p
in every batch. Entropic Student (Matsubara et al., WACV 2022) freezes the encoder halfway; one
stage lets the rate and the task trade until the end.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from narrows.errors import ConfigError
from narrows.models.backbones import Backbone
from narrows.models.bottleneck import RateBottleneck
from narrows.models.head import PatchHead
from narrows.models.tail import build_tail
from narrows.training.data import Photographs
from narrows.training.loop import decayed_groups, fit
from narrows.training.losses import Distillation, mixed, relative_error
from narrows.training.recipe import Recipe
from narrows.training.teacher import Teacher
from narrows.training.unsplit import normalise


class SplitModel(nn.Module):
    """Head, bottleneck and tail as one trainable network."""

    def __init__(self, recipe: Recipe, labels: int):
        super().__init__()
        spec = recipe.head
        self.head = PatchHead(**spec.model_dump(), mean=recipe.mean, std=recipe.std)
        self.bottleneck = RateBottleneck(spec.channels, recipe.rates)
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
    """Train a split network whose rest starts from the unsplit one.

    Raises:
        ConfigError: the batch cannot be shared equally among the operating points.
    """
    phase, weights = recipe.split, recipe.split_loss
    if phase.batch % len(recipe.rates):
        raise ConfigError(
            f"split.batch is {phase.batch}, expected a multiple of the {len(recipe.rates)} rates"
        )
    torch.manual_seed(seed + 1)
    model = SplitModel(recipe, len(data.labels))
    model.tail.rest.load_state_dict(unsplit.rest.state_dict())
    model.to(memory_format=torch.channels_last)
    unsplit.eval().requires_grad_(False)
    rates = torch.tensor(recipe.rates)
    distil = Distillation(teacher, unsplit.body_channels, weights)

    def step(pixels: Tensor, targets: Tensor, share: float) -> Tensor:
        pixels, soft = mixed(pixels, targets, len(data.labels), phase.mixup)
        maps, bits, features = model(pixels)
        loss = distil(pixels, soft, model.tail.rest[1](maps.float()), maps)
        if weights.features:
            loss = loss + weights.features * relative_error(
                features, _front(unsplit, pixels, recipe)
            )
        warm = min(1.0, share / weights.rate_warmup)
        return loss + warm * (rates * bits).mean() / pixels[0, 0].numel()

    both = nn.ModuleDict({"model": model, "distil": distil})
    groups = [
        *_groups(model, recipe),
        *decayed_groups(distil, phase.learning_rate, phase.weight_decay),
    ]
    fit(both, groups, step, data, phase, seed + 1, run / "split.safetensors", report)
    return model.eval()


def _groups(model: SplitModel, recipe: Recipe) -> list[dict]:
    phase = recipe.split
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
