"""Differential privacy over secure aggregation: what is spent, and what refuses to be."""

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower has no release for this Python")
pytest.importorskip("dp_accounting", reason="needs the accountant of flwr[dp]")

from federated_grid import SecureNodes, app_of, model
from flwr.serverapp.exception import PrivacyBudgetExhausted
from flwr.serverapp.strategy import FedAvg

from narrows.errors import ConfigError
from narrows.federated.secure.mod import flat
from narrows.federated.secure.privacy import private
from narrows.federated.secure.strategy import SecureAggregation


def strategy(noise: float = 1.0, most: float | None = None, **changed) -> SecureAggregation:
    inner = private(
        FedAvg(fraction_evaluate=0.0),
        noise_multiplier=noise,
        clipping_norm=1.0,
        sampled=10,
        population=10,
        delta=1e-5,
        most_epsilon=most,
    )
    return SecureAggregation(inner, **({"clipping_norm": 1.0} | changed))


def test_epsilon_is_reported_after_every_round_and_skipped_ones_are_free():
    found, grid, rounds = strategy(), SecureNodes(10, app_of), []
    grid.silent = lambda node, stage: len(rounds) == 2 and node < 105 and stage == "train"
    found.start(grid, model(), num_rounds=3, evaluate_fn=lambda n, a: rounds.append(n))
    first, second, third = (report.epsilon for report in found.reports)
    assert found.reports[1].error.startswith("TooFewResponses")
    assert first == second
    assert 4.5 < first < 5.5  # noise 1.0 at delta 1e-5
    assert first < third < 2 * first


def test_a_mean_with_vanished_clients_is_divided_by_all_that_were_sampled():
    found, grid = strategy(noise=1e-9), SecureNodes(10, app_of)
    full = flat(found.start(grid, model(), num_rounds=1).arrays) - flat(model())
    grid.silent = lambda node, stage: node > 106 and stage == "train"
    found = strategy(noise=1e-9)
    part = flat(found.start(grid, model(), num_rounds=1).arrays) - flat(model())
    assert found.reports[0].survivors == 7
    assert found.reports[0].epsilon > 1e6
    assert np.abs(full - average(range(100, 110), 10)).max() < 1e-3
    assert np.abs(part - average(range(100, 107), 10)).max() < 1e-3


def average(nodes, divisor: int) -> np.ndarray:
    """What `app_of` trains in these nodes, summed and divided; nothing is clipped of it."""
    chances = [np.random.default_rng(node) for node in nodes]
    return sum(np.append(c.normal(size=600), c.normal(size=7)) for c in chances) / 100 / divisor


def test_no_round_is_begun_beyond_the_budget():
    with pytest.raises(PrivacyBudgetExhausted):
        strategy(most=6.0).start(SecureNodes(10, app_of), model(), num_rounds=2)


def test_privacy_that_would_not_hold_is_refused():
    for changed in ({"largest_weight": 5}, {"clipping_norm": 2.0}):
        with pytest.raises(ConfigError, match="needs largest_weight = 1 and the same clipping"):
            strategy(**changed)
    with pytest.raises(ConfigError, match="differential privacy"):
        strategy(noise=0.0)
