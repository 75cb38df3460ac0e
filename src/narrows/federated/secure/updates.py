"""From an update to a few small integers, so that the mean is had from their sums alone.

1. The update's L2 norm is cut to `clip_norm`.
2. `kept` of its numbers, drawn from the round's seed and so the same at all clients, get random
   signs and are rotated in blocks by Hadamard's matrix: their energy spreads evenly, and a uniform
   quantiser of few levels loses little. The others are not sent: the model keeps them this round.
3. Times weight / largest_weight, and rounded to a whole number of steps, up or down by chance so
   that the mean is unbiased (Suresh et al., "Distributed mean estimation with limited
   communication", 2017).

Every step but the cuts is linear, so sums of integers decode to the weighted mean. No error is fed
back: what was not sent is forgotten, and nothing of an update outlives its round.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError
from narrows.federated.secure.masks import words
from narrows.federated.secure.terms import BLOCK, METRIC_STEPS, Integers, UpdateTerms

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantised:
    """One client's part of the sums."""

    head: Integers  # (1 + metrics,): the weight, and each metric times it
    coordinates: Integers  # (terms.coordinates,)


@dataclass(frozen=True, eq=False)
class Mean:
    """What the sums say."""

    update: Reals  # (size,); zero where nothing was sent
    weight: int  # of all clients together
    metrics: dict[str, float]


def quantise(
    update: Reals,
    examples: int,
    metrics: dict[str, float],
    terms: UpdateTerms,
    clients: int,
    chance: np.random.Generator,
) -> Quantised:
    """One client's update (size,) of so many examples, in a round of so many clients.

    Raises:
        ConfigError: an update of another size or not finite, no examples, or no such metric.
    """
    if update.shape != (terms.size,) or not np.isfinite(update).all():
        raise ConfigError(
            f"an update of shape {update.shape}: expected {terms.size} finite numbers: does the "
            "client train the model that the server sent?"
        )
    weight = min(examples, terms.largest_weight)
    if weight < 1:
        raise ConfigError(f"trained on {examples} examples: expected at least one")
    share = weight / terms.largest_weight
    norm = float(np.linalg.norm(update))
    cut = update * (terms.clip_norm / norm) if norm > terms.clip_norm else update
    sent, signs = common(terms)
    blocks = np.zeros(terms.coordinates)
    blocks[: terms.kept] = cut[sent] * signs
    scaled = _rotate(blocks) / terms.step
    scaled = np.clip(scaled, -terms.levels, terms.levels) * share
    rounded = np.floor(scaled + chance.random(terms.coordinates))
    rounded = np.clip(rounded, -terms.levels, terms.levels).astype(np.int64)
    limit = terms.metric_limit(clients)
    head = [weight]
    for name in terms.metrics:
        if not np.isfinite(value := metrics.get(name, float("nan"))):
            raise ConfigError(f"the training gave no number called {name}: it gave {metrics}")
        head.append(int(np.clip(round(value * METRIC_STEPS * share), -limit, limit)))
    return Quantised(np.array(head, np.int64), rounded)


def mean(head: Integers, coordinates: Integers, terms: UpdateTerms) -> Mean:
    """The weighted mean, from all clients' sums."""
    weight = int(head[0])
    shares = weight / terms.largest_weight
    sent, signs = common(terms)
    update = np.zeros(terms.size)
    blocks = _rotate(coordinates * (terms.step / shares))
    update[sent] = blocks[: terms.kept] * signs
    metrics = head[1:] / (METRIC_STEPS * shares)
    return Mean(update, weight, dict(zip(terms.metrics, metrics.tolist(), strict=True)))


def common(terms: UpdateTerms) -> tuple[Integers, Reals]:
    """Which numbers are sent and their signs, (kept,) each: the same at all ends."""
    drawn = words(terms.seed, terms.size + terms.kept)
    order = np.argsort(drawn[: terms.size], kind="stable")[: terms.kept].astype(np.int64)
    return order, np.where(drawn[terms.size :] & 1, 1.0, -1.0)


def _rotate(numbers: Reals) -> Reals:
    """Each block times Hadamard's matrix: orthonormal, symmetric, its own inverse."""
    return (numbers.reshape(-1, BLOCK) @ _hadamard()).reshape(-1)


@lru_cache
def _hadamard() -> Reals:
    matrix = np.ones((1, 1))
    while len(matrix) < BLOCK:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / BLOCK**0.5
