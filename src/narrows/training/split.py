"""The split network: head, bottleneck, decoder and rest, phase after phase as a recipe says.

loss = labels + teacher + maps + features + lambda_p * bits per pixel, every operating point p of a
model in every batch.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from narrows.models.backbones import Backbone
from narrows.models.backbones.backbone import stage_outputs
from narrows.models.bottlenecks import Unstandardise, build_encoder
from narrows.models.bottlenecks.hyperprior import HyperBottleneck
from narrows.models.bottlenecks.rate import RatedBottleneck
from narrows.models.bottlenecks.uniform import UniformBottleneck
from narrows.models.bundle import load_weights
from narrows.models.head import Head
from narrows.models.tail import build_tail
from narrows.models.tasks import TaskHeads
from narrows.training.log import Log
from narrows.training.loop import Step, decayed_groups, fit
from narrows.training.losses import Distillation, relative_error, saliency
from narrows.training.recipe import Part, Recipe, SplitPhase
from narrows.training.tasks import task_losses
from narrows.training.teacher import normalise
from narrows.training.views import Batch, Crops


class SplitModel(nn.Module):
    """Head, bottleneck and tail as one trainable network, for one model's operating points."""

    def __init__(self, recipe: Recipe, unsplit: Backbone, backbone: str, rates: tuple[float, ...]):
        """`backbone`: the name of `unsplit`'s architecture, whose rest the tail starts from."""
        super().__init__()
        self.head = Head(build_encoder(recipe.encoder, (unsplit.mean, unsplit.std)))
        self.members = getattr(recipe.coding, "members", ())
        self.has_steps = False  # from a bundle that it begins from
        self.bottleneck = _bottleneck(recipe, self.head.channels, rates)
        self.tail_config = {
            "backbone": backbone,
            "labels": unsplit.classifier.out_features,
            "tasks": unsplit.tasks.config if isinstance(unsplit.tasks, TaskHeads) else {},
            "stride": recipe.stride,
            "channels": self.head.channels,
            "decoder": recipe.decoder,
        }
        self.task_weights: dict[str, float] = {n: task.weight for n, task in recipe.tasks.items()}
        self.tail = build_tail(self.tail_config)
        self.tail.rest.load_state_dict(unsplit.rest.state_dict())
        self.tail.rest.requires_grad_(True)
        if self.tail.tasks is not None and unsplit.tasks is not None:
            self.tail.tasks.load_state_dict(unsplit.tasks.state_dict())
            self.tail.tasks.requires_grad_(True)

    def begin(self, bundle: Path) -> None:
        """Take what fits of a bundle's head, steps and decoder. Raises BundleError, ConfigError."""
        if isinstance(self.bottleneck, RatedBottleneck):
            steps = load_weights(bundle, "tables")
            self.has_steps = self.bottleneck.begin(steps["gain"], steps["inverse_gain"])
        self.head.begin(load_weights(bundle, "head"))
        tensors, own = load_weights(bundle, "tail"), self.tail.decoder.state_dict()
        named = {k.removeprefix("decoder."): t for k, t in tensors.items() if k.startswith("dec")}
        fitting = {k: t for k, t in named.items() if k in own and own[k].shape == t.shape}
        self.tail.decoder.load_state_dict(fitting, strict=False)

    @torch.no_grad()
    def start(self, batch: Batch, unsplit: Backbone) -> None:
        """Fit the scales at both ends of the bottleneck to a batch, before anything is learned."""
        ours = self.tail.decoder[1]
        assert isinstance(ours, Unstandardise)
        ours.measure(_wanted(unsplit, batch, "cut")[0])
        if self.has_steps:
            return
        if isinstance(self.bottleneck, RatedBottleneck | HyperBottleneck):
            self.bottleneck.start(self.latent(batch.pixels))

    def latent(self, pixels: Tensor) -> Tensor:
        """Pixels (batch, 3, h, w) in 0..255; an ensemble runs each point's own members."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        if not self.members:
            return self.head(pixels)  # type: ignore[no-any-return]
        groups = zip(pixels.chunk(len(self.members)), self.members, strict=True)
        return torch.cat([self.head(group, members) for group, members in groups])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels -> decoded features at the cut, and bits per sample of each point (points,)."""
        with torch.autocast(pixels.device.type, torch.bfloat16):
            latent = self.latent(pixels)
        received, bits = self.bottleneck(latent)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            received = received.contiguous(memory_format=torch.channels_last)
            return self.tail.decoder(received), bits


def _bottleneck(recipe: Recipe, channels: int, rates: tuple[float, ...]) -> nn.Module:
    coding = recipe.coding
    if coding.kind == "uniform":
        return UniformBottleneck(coding.bits)
    if coding.kind == "hyperprior":
        return HyperBottleneck(channels, coding.hidden)
    return RatedBottleneck(channels, rates)


def train_models(
    recipe: Recipe,
    unsplit: Backbone,
    backbone: str,
    teacher: Backbone | None,
    pool: Crops,
    seed: int,
    run: Path,
    log: Log,
    begin: Path | None = None,
) -> Iterator[SplitModel]:
    """The recipe's one model of variable rate, or one a rate, each going on from the one before.

    `begin`: a bundle whose head and decoder the first begins from, as far as they fit.
    """
    unsplit.eval().requires_grad_(False)
    device = next(unsplit.parameters()).device
    rates = recipe.coding.rates
    sets = [rates] if recipe.coding.variable else [(rate,) for rate in rates]
    before: dict[str, Tensor] | None = None
    for number, chosen in enumerate(sets):
        torch.manual_seed(seed + 1)
        model = SplitModel(recipe, unsplit, backbone, chosen)
        if begin is not None:
            model.begin(begin)
        model.to(device).to(memory_format=torch.channels_last)
        if device.type == "cuda":  # on a CPU compiling takes longer than it gives back
            for part in (model.head, model.tail.decoder, *model.tail.rest[0].children()):
                part.compile()
        if before is not None:
            model.load_state_dict(before)
        else:
            first = next(pool.batches(min(60, len(pool)), recipe.split[0].side, seed)).to(device)
            model.start(first, unsplit)
        share = 1.0 if before is None else recipe.continued
        prefix = "split" if len(sets) == 1 else f"rate{number}"
        _train(model, recipe, chosen, unsplit, teacher, pool, seed, run / prefix, share, log)
        before = model.state_dict()
        yield model.eval()


def _train(
    model: SplitModel,
    recipe: Recipe,
    rates: tuple[float, ...],
    unsplit: Backbone,
    teacher: Backbone | None,
    pool: Crops,
    seed: int,
    state: Path,
    share: float,
    log: Log,
) -> None:
    same = teacher is not None and teacher.body_channels == unsplit.body_channels
    distil = Distillation(unsplit.body_channels, teacher, same).to(next(model.parameters()).device)
    both = nn.ModuleDict({"model": model, "distil": distil})
    reached = 0.0 if share == 1.0 else 1.0  # a further rate goes on from a neighbour's
    for number, phase in enumerate(recipe.split, 1):
        phase = phase.model_copy(update={"epochs": max(1, round(phase.epochs * share))})
        weights = torch.tensor(rates, device=next(model.parameters()).device)
        step = split_step(
            model, distil, unsplit, teacher, phase, (reached * weights, phase.rate * weights)
        )
        reached = phase.rate
        freeze(model, phase, recipe.freeze_norms)
        groups = [*learned_groups(model, phase), *decayed_groups(distil, phase)]
        path = state.with_name(f"{state.name}-{number}.safetensors")
        fit(both, groups, step, pool, phase, seed + number, path, log)


def split_step(
    model: SplitModel,
    distil: Distillation,
    unsplit: Backbone,
    teacher: Backbone | None,
    phase: SplitPhase,
    rates: tuple[Tensor, Tensor],
) -> Step:
    """The loss of one batch in a phase whose rates move from the first to the second."""
    weights = phase.loss
    body, classify = model.tail.rest

    def step(batch: Batch, share: float) -> Tensor:
        features, bits = model(batch.pixels)
        with torch.autocast(batch.pixels.device.type, torch.bfloat16):
            stages = list(stage_outputs(body, features))
        maps = stages[-1]
        loss = distil(batch, classify(maps.float()), maps, weights)
        if isinstance(model.tail.tasks, TaskHeads) and weights.tasks:
            losses = task_losses(model.tail.tasks, stages, batch, model.task_weights)
            loss = loss + weights.tasks * losses
        if weights.features:
            weight = saliency(batch, teacher) if weights.saliency and teacher else None
            pairs = zip([features, *stages], _wanted(unsplit, batch, weights.stages), strict=False)
            errors = [relative_error(got, wanted, weight) for got, wanted in pairs]
            loss = loss + weights.features * torch.stack(errors).mean()
        now = rates[0] + min(1.0, share / phase.rate_warmup) * (rates[1] - rates[0])
        return loss + (now * bits).mean() / batch.pixels[0, 0].numel()

    return step


@torch.no_grad()
def _wanted(unsplit: Backbone, batch: Batch, stages: str) -> list[Tensor]:
    """The unsplit network's features at the cut, and after each stage of its body if all count."""
    with torch.autocast(batch.pixels.device.type, torch.bfloat16):
        at_cut = unsplit.front(normalise(batch.pixels, unsplit))
        return [at_cut, *(stage_outputs(unsplit.rest[0], at_cut) if stages == "all" else ())]


def parts(model: SplitModel) -> dict[Part, nn.Module]:
    """What a phase may train, by the names that recipes use; "heads" are in "rest" too."""
    tasks = [model.tail.tasks] if model.tail.tasks else []
    return {
        "encoder": model.head,
        "prior": model.bottleneck,
        "decoder": model.tail.decoder,
        "rest": nn.ModuleList([model.tail.rest, *tasks]),
        "heads": nn.ModuleList([model.tail.rest[1], *tasks]),
    }


def learned(model: SplitModel, phase: SplitPhase) -> dict[Part, nn.Module]:
    """Those that a phase trains, each once."""
    whole = "rest" in phase.trains
    return {
        name: part
        for name, part in parts(model).items()
        if name in phase.trains and not (name == "heads" and whole)
    }


def freeze(model: SplitModel, phase: SplitPhase, freeze_norms: bool) -> None:
    """Only the phase's parts learn; a part that does not also keeps its norms' statistics."""
    model.requires_grad_(False).eval()
    for part in learned(model, phase).values():
        part.requires_grad_(True).train()
    if freeze_norms:
        for module in parts(model)["rest"].modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def learned_groups(model: SplitModel, phase: SplitPhase) -> list[dict[str, Any]]:
    """Parameter groups of what a phase trains."""
    groups = []
    for name, part in learned(model, phase).items():
        if name == "prior":  # gains are worth as much far from zero
            gains = list(part.parameters())
            groups += [{"params": gains, "lr": phase.learning_rate, "weight_decay": 0.0}] * bool(
                gains
            )
        else:
            groups += decayed_groups(part, phase, phase.rest_rate if name == "rest" else 1.0)
    return groups
