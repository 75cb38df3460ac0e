"""A client's share of a round: a few steps on its own photographs, with the rate in the loss.

The teacher is the bundle as it came: what it says of a crop needs no labels, so an encoder adapts
to what a camera sees without anybody looking at it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from narrows.errors import ConfigError
from narrows.federated.network import Network, Teacher
from narrows.images.preprocess import pad_to_stride
from narrows.training.data import Photographs, random_crop
from narrows.training.loop import optimiser_of, schedule
from narrows.training.losses import Distillation
from narrows.training.recipe import SplitPhase
from narrows.training.split import learned_groups, split_step
from narrows.training.views import GRID, Batch

CLIP = 5.0  # of a step's gradient
CALIBRATION = 64  # photographs whose symbols are counted


@dataclass(frozen=True)
class Learnt:
    """What a client did."""

    loss: float  # mean over its batches
    photographs: int


def learn(
    network: Network,
    data: Photographs,
    seed: int,
    share: float = 0.0,
    proximal_mu: float = 0.0,
) -> Learnt:
    """Train the parts that learn, in place.

    `share`: of all rounds that are over, by which the learning rate falls. `proximal_mu`: how much
    it costs to leave the model that came (Li et al., "Federated optimization in heterogeneous
    networks", MLSys 2020).

    Raises:
        ConfigError: no labels where the loss is of labels alone, or a loss that is no number.
    """
    phase, model = network.phase, network.model
    if not phase.loss.teacher and not phase.loss.features and bool((data.targets < 0).all()):
        raise ConfigError(
            f"recipe learns from labels, and no folder of these photographs is one of the bundle's "
            f"classes ({', '.join(network.manifest.folders)}): use a recipe with a teacher's weight"
        )
    torch.manual_seed(seed)
    count_symbols(network, data)
    rates = torch.tensor(network.recipe.coding.rates) * phase.rate
    distil = Distillation(network.unsplit.body_channels, None, True)
    step = split_step(model, distil, network.unsplit, None, phase, (rates, rates))
    groups = learned_groups(model, phase)
    for group in groups:
        group["lr"] *= schedule(share, phase)
    trained = [p for group in groups for p in group["params"]]
    came = [p.detach().clone() for p in trained]
    optimiser = optimiser_of(phase, groups)
    losses = []
    for batch in _batches(data, network.teacher, phase, seed):
        loss = step(batch, 1.0)
        if not torch.isfinite(loss):
            raise ConfigError(f"the loss is {loss.item()}: lower the recipe's learning rate")
        losses.append(loss.item())
        if proximal_mu:
            loss = loss + proximal_mu / 2 * sum(
                (now - then).square().sum() for now, then in zip(trained, came, strict=True)
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, CLIP)
        optimiser.step()
    return Learnt(float(np.mean(losses)), len(data))


def count_symbols(network: Network, data: Photographs) -> None:
    """Set the network's distributions to those of these photographs, as devices will code them."""
    chosen = data.pictures[:: -(-len(data) // CALIBRATION)]
    head, stride = network.device_head(), network.manifest.input.stride
    latents = [torch.from_numpy(head.run(pad_to_stride(picture, stride))) for picture in chosen]
    network.bottleneck.measure([latent[None] for latent in latents])


def _batches(data: Photographs, teacher: Teacher, phase: SplitPhase, seed: int) -> Iterator[Batch]:
    """Every photograph once an epoch; some twice, by another crop, so that all batches are full."""
    rng = np.random.default_rng(seed)
    full = -(-len(data) // phase.batch) * phase.batch
    for _ in range(phase.epochs):
        for rows in np.resize(rng.permutation(len(data)), full).reshape(-1, phase.batch):
            crops = [random_crop(data.pictures[row], phase.side, 0.3, rng) for row in rows]
            pixels = torch.stack(crops)
            logits, maps = teacher.answer(pixels)
            yield Batch(pixels, data.targets[rows], logits, F.adaptive_avg_pool2d(maps, GRID))
