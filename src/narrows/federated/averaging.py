"""A recipe's strategy of Flower's, with what hides or shrinks the updates around it."""

import math
from typing import Any

from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, Strategy

from narrows.federated.compression.strategy import CompressedUpdates
from narrows.federated.recipe import Averaging, RoundsRecipe, Secure
from narrows.federated.secure.privacy import private
from narrows.federated.secure.strategy import SecureAggregation

FINE = (1 << 15) - 1  # levels of distributions under masks: tables need rare symbols' shares


def learning_strategy(
    recipe: RoundsRecipe, least: int, share: float, population: int, timeout_s: float
) -> Strategy:
    """For rounds in which `share` of `population` nodes, at least `least`, learn.

    Raises:
        ConfigError: noise without Flower's accountant.
    """
    inner = _averaging(recipe.averaging, least, share)
    secure = recipe.secure
    if secure is None:
        return CompressedUpdates(inner) if recipe.compressed else inner
    wrapped: Strategy = inner
    if secure.noise_multiplier:
        wrapped = private(
            inner,
            noise_multiplier=secure.noise_multiplier,
            clipping_norm=secure.clipping_norm,
            sampled=max(least, int(share * population)),
            population=population,
            delta=secure.delta,
        )
    return SecureAggregation(
        wrapped, clipping_norm=secure.clipping_norm, levels=secure.levels, kept=secure.kept,
        metrics=("loss",), timeout=timeout_s,
    )  # fmt: skip


def counting_strategy(secure: Secure | None, least: int, rows: int, timeout_s: float) -> Strategy:
    """For the one round in which all nodes' `rows` distributions are averaged."""
    inner = _averaging(Averaging(), least, 1.0)
    if secure is None:
        return inner
    longest = 2 * math.sqrt(rows)  # an update is what is counted less what came: rows of sum 1
    return SecureAggregation(inner, clipping_norm=longest, levels=FINE, timeout=timeout_s)


def _averaging(told: Averaging, least: int, share: float) -> FedAvg:
    common: dict[str, Any] = {
        "fraction_train": share,
        "fraction_evaluate": 0.0,
        "min_train_nodes": least,
        "min_evaluate_nodes": 0,
        "min_available_nodes": least,
    }
    match told.kind:
        case "fedavg":
            return FedAvg(**common)
        case "fedavgm":
            return FedAvgM(**common, server_momentum=told.server_momentum)
        case "fedprox":
            return FedProx(**common, proximal_mu=told.proximal_mu)
        case "fedadam":
            return FedAdam(**common, eta=told.server_rate)
        case "fedyogi":
            return FedYogi(**common, eta=told.server_rate)
