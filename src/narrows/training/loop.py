"""One training loop for every phase: visible from top to bottom, resumable after a kill."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.progress import Progress, TextColumn
from torch import Tensor, nn

from narrows.training import checkpoint
from narrows.training.data import Photographs, batches
from narrows.training.recipe import Phase

Step = Callable[[Tensor, Tensor, float], Tensor]  # pixels, targets, share of the run -> loss


def fit(
    model: nn.Module,
    groups: list[dict],
    step_loss: Step,
    data: Photographs,
    phase: Phase,
    seed: int,
    state: Path,
    report: Callable[[str], None],
) -> None:
    """Minimise `step_loss` over `phase.epochs`; the model is trained in place.

    `state` is a checkpoint file written after every epoch and resumed from when it exists. The
    epoch's crops depend on (seed, epoch) alone, so a resumed run sees what an unbroken one would.
    """
    optimiser = torch.optim.AdamW(groups, lr=phase.learning_rate, weight_decay=phase.weight_decay)
    peaks = [group["lr"] for group in optimiser.param_groups]
    done = checkpoint.load(state, model, optimiser) if state.exists() else 0
    steps_per_epoch = max(1, len(data) // phase.batch)
    model.train()
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[loss]}")) as progress:
        task = progress.add_task(state.stem, total=phase.epochs * steps_per_epoch, loss="")
        progress.advance(task, done * steps_per_epoch)
        for epoch in range(done, phase.epochs):
            torch.manual_seed(seed * 1_000_003 + epoch)
            mean = 0.0
            for i, (pixels, targets) in enumerate(_epoch(data, phase, seed, epoch)):
                share = (epoch * steps_per_epoch + i) / (phase.epochs * steps_per_epoch)
                for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                    group["lr"] = peak * _schedule(share, phase.warmup)
                loss = step_loss(pixels, targets, share)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimiser.step()
                mean += (loss.item() - mean) / (i + 1)
                progress.update(task, advance=1, loss=f"loss {mean:.3f}")
            checkpoint.save(state, model, optimiser, epoch + 1)
            report(f"{state.stem}: epoch {epoch + 1}/{phase.epochs}, loss {mean:.4f}")


def _epoch(
    data: Photographs, phase: Phase, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    side = phase.sides[epoch * len(phase.sides) // phase.epochs]
    return batches(data, phase.batch, side, phase.min_scale, seed * 1_000_003 + epoch)


def _schedule(share: float, warmup: float) -> float:
    """Linear to 1 over the first `warmup` of the run, then a half cosine to 0."""
    if share < warmup:
        return max(share / warmup, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))


def decayed_groups(module: nn.Module, learning_rate: float, weight_decay: float) -> list[dict]:
    """Parameter groups: weight decay for matrices and kernels, none for gains, biases and norms."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim > 1]
    rest = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": kernels, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": rest, "lr": learning_rate, "weight_decay": 0.0},
    ]
