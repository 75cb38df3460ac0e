"""One training loop for every phase: visible from top to bottom, resumable after a kill.

Runs on one process, or on each of several that torch.distributed joins (training/cluster.py): of n,
each takes every n-th batch, and gradients are averaged, as one process with n times the batch.
"""

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import Progress, TextColumn
from torch import Tensor, nn

from narrows.errors import ConfigError
from narrows.training import checkpoint
from narrows.training.log import Log
from narrows.training.recipe import Phase
from narrows.training.views import Batch, Crops

Step = Callable[[Batch, float], Tensor]  # a batch, share of the phase done -> loss


def fit(
    model: nn.Module,
    groups: list[dict[str, Any]],
    step_loss: Step,
    pool: Crops,
    phase: Phase,
    seed: int,
    state: Path,
    log: Log,
) -> None:
    """Minimise `step_loss` over `phase.epochs`; the model is trained in place.

    `groups`: parameters with their `lr` and `weight_decay`. `state` is a checkpoint file written
    after every epoch and resumed from when it exists. An epoch's crops depend on (seed, epoch)
    alone, so a resumed run sees what an unbroken one would.

    Raises:
        ConfigError: fewer photographs than a batch, or a loss that is no number.
    """
    device = next(model.parameters()).device
    optimiser = optimiser_of(phase, groups)
    peaks = [group["lr"] for group in optimiser.param_groups]
    done = checkpoint.load(state, model, optimiser) if state.exists() else 0
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    per_epoch = len(pool) // phase.batch // world
    if not per_epoch:
        raise ConfigError(
            f"{len(pool)} photographs are no batch of {phase.batch} for each of {world} processes: "
            "give more, or a smaller batch in the recipe"
        )
    trained = [p for group in groups for p in group["params"]]
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(state.stem, total=phase.epochs * per_epoch, loss="")
        progress.advance(task, done * per_epoch)
        for epoch in range(done, phase.epochs):
            epoch_seed = seed * 1_000_003 + epoch
            torch.manual_seed(epoch_seed)
            mean = 0.0
            batches = pool.batches(phase.batch, phase.side, epoch_seed)
            for i, batch in enumerate(islice(batches, rank, per_epoch * world, world)):
                share = (epoch * per_epoch + i) / (phase.epochs * per_epoch)
                for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                    group["lr"] = peak * schedule(share, phase)
                loss = step_loss(batch.to(device), share)
                if not torch.isfinite(loss):
                    raise ConfigError(
                        f"{state.stem}: the loss is {loss.item()} in epoch {epoch + 1}: lower the "
                        "recipe's learning rate"
                    )
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                _average([p.grad for p in trained if p.grad is not None])
                nn.utils.clip_grad_norm_(trained, 5.0)
                optimiser.step()
                mean += (loss.item() - mean) / (i + 1)
                progress.update(task, advance=1, loss=f"loss {mean:.3f}")
            _average([b for b in model.buffers() if b.is_floating_point()])
            if rank == 0:
                checkpoint.save(state, model, optimiser, epoch + 1)
            log.epoch(state.stem, epoch + 1, phase.epochs, mean)


def _average(tensors: list[Tensor]) -> None:
    """Over all processes, where there are several."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor /= dist.get_world_size()


def optimiser_of(phase: Phase, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The one that a phase names."""
    match phase.optimiser:
        case "adamw":
            return torch.optim.AdamW(groups)
        case "adam":
            return torch.optim.Adam(groups)
        case "sgd":
            return torch.optim.SGD(groups, momentum=0.9)


def schedule(share: float, phase: Phase) -> float:
    """The rate's factor: linear to 1 over the warm-up, then half a cosine or a tenth at a step."""
    if share < phase.warmup:
        return max(share / phase.warmup, 0.01)
    if phase.schedule == "steps":
        return float(0.1 ** sum(share >= step for step in phase.steps))
    return 0.5 * (1 + math.cos(math.pi * (share - phase.warmup) / (1 - phase.warmup)))


def decayed_groups(module: nn.Module, phase: Phase, rate: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups: weight decay for matrices and kernels, none for gains, biases and norms."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    lr = phase.learning_rate * rate
    kernels, rest = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": kernels, "lr": lr, "weight_decay": phase.weight_decay},
        {"params": rest, "lr": lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
