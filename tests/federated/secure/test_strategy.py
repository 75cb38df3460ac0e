"""Secure aggregation in Flower: a strategy and a mod that talk as over a SuperLink."""

import logging

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower has no release for this Python")

from federated_grid import SecureNodes, app_of, model
from flwr.app import ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedProx,
    Krum,
)

from narrows.errors import ConfigError
from narrows.federated.secure import mod
from narrows.federated.secure.mod import SecureMod, flat
from narrows.federated.secure.strategy import SecureAggregation
from narrows.federated.secure.updates import mean
from narrows.security.authority import Authority

STAGES = ["secure_keys", "secure_shares", "train", "secure_confirm", "secure_unmask"]


@pytest.fixture
def quantised(monkeypatch) -> list:
    """What clients quantised, by round: (terms, Quantised) in the order of their training."""
    seen: list = []

    def recording(update, examples, metrics, terms, *rest):
        integers = quantise(update, examples, metrics, terms, *rest)
        if not seen or seen[-1][0] != terms:
            seen.append((terms, []))
        seen[-1][1].append((update, integers))
        return integers

    quantise = mod.quantise
    monkeypatch.setattr(mod, "quantise", recording)
    return seen


def expected(before: np.ndarray, recorded) -> np.ndarray:
    """The next model, from the plain sum of all clients' integers."""
    terms, parts = recorded
    head = sum(q.head for _, q in parts)
    after = before + mean(head, sum(q.coordinates for _, q in parts), terms).update
    return after.astype(np.float32)


def secured(strategy=None, **changed) -> SecureAggregation:
    strategy = strategy or FedAvg(fraction_evaluate=0.0)
    usual = {"clipping_norm": 1.5, "largest_weight": 20, "metrics": ("loss",)}
    return SecureAggregation(strategy, **(usual | changed))


def test_a_run_gives_the_mean_of_the_plain_integers(quantised):
    grid, strategy = SecureNodes(6, app_of), secured()
    result = strategy.start(grid, model(), num_rounds=2)
    first = expected(flat(model()), quantised[0])
    second = expected(first, quantised[1])
    assert len(quantised[0][1]) == len(quantised[1][1]) == 6
    assert (flat(result.arrays) == second).all()
    assert result.arrays["steps"].numpy() == 5
    assert result.train_metrics_clientapp[2]["loss"] == pytest.approx(0.5, abs=1e-3)
    assert "secret" not in result.train_metrics_clientapp[2]
    assert [(r.survivors, r.holders, r.error) for r in strategy.reports] == [(6, 6, "")] * 2
    # Keys and shares once, then two exchanges a round.
    assert grid.exchanges == [*STAGES[:3], "secure_unmask", "train", "secure_unmask"]


@pytest.mark.parametrize("stage", STAGES)
def test_three_of_ten_vanish_and_the_sum_is_that_of_the_others(stage, quantised):
    grid, strategy = SecureNodes(10, app_of), secured()
    gone = {2, 5, 9}
    late = STAGES.index(stage)
    grid.silent = lambda node, now: (
        (node in gone and STAGES.index(now) >= late) or (node == 2 and now == "train")
    )
    result = strategy.start(grid, model(), num_rounds=1)
    (report,) = strategy.reports
    assert report.error == ""
    assert report.survivors == len(quantised[0][1]) == (9 if late > 2 else 7)
    assert (flat(result.arrays) == expected(flat(model()), quantised[0])).all()


@pytest.mark.parametrize("stage", STAGES)
def test_when_too_many_vanish_the_round_is_skipped_and_the_next_begins_anew(stage, quantised):
    grid, strategy = SecureNodes(6, app_of), secured()
    gone = {2, 3, 4, 5}
    rounds = []

    def lost(node, now):
        return len(rounds) < 2 and (
            (node in gone and STAGES.index(now) >= STAGES.index(stage))
            or (node == 2 and now == "train")
        )

    grid.silent = lost
    result = strategy.start(
        grid, model(), num_rounds=2, evaluate_fn=lambda n, a: rounds.append((n, flat(a)))
    )
    (_, initial), (_, after_one), (_, after_two) = rounds
    assert strategy.reports[0].error.startswith("TooFewResponses: ")
    assert np.array_equal(initial, after_one)
    assert strategy.reports[1].error == ""
    assert strategy.reports[1].survivors == 6
    assert (after_two == expected(initial, quantised[-1])).all()
    assert np.array_equal(flat(result.arrays), after_two)


@pytest.mark.parametrize("inner", [FedAvg, FedProx, FedAdam])
@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_any_strategy_that_averages_can_be_wrapped(inner, kept, quantised):
    floats = ArrayRecord({"weight": model()["weight"], "bias": model()["bias"]})
    options = {"fraction_evaluate": 0.0} | ({"proximal_mu": 0.1} if inner is FedProx else {})
    strategy = secured(inner(**options), kept=kept)
    result = strategy.start(SecureNodes(4, app_of), floats, num_rounds=2)
    moved = np.count_nonzero(flat(result.arrays) - flat(floats))
    assert moved > (300 if kept < 1 else 590)
    assert not strategy.reports[1].error


def test_who_vanished_is_asked_for_shares_again_and_takes_part(quantised):
    grid, strategy = SecureNodes(6, app_of), secured()
    seen = []
    grid.silent = lambda node, now: node == 3 and not seen and now == "train"
    strategy.start(
        grid, model(), num_rounds=2, evaluate_fn=lambda n, a: seen.append(n) if n else None
    )
    assert [r.survivors for r in strategy.reports] == [5, 6]
    assert grid.exchanges == [*STAGES, "secure_shares", "train", "secure_unmask"]


def test_a_node_that_comes_later_or_lost_its_state_joins_a_new_session(quantised):
    grid, strategy = SecureNodes(5, app_of), secured()
    events = []

    def between(number, arrays):
        events.append(number)
        if number == 1:
            grid.contexts[200] = Context(1, 200, {}, RecordDict(), {})
            grid.apps[200] = app_of(200)
        if number == 2:
            grid.contexts[4].state = RecordDict()  # its SuperNode was restarted

    strategy.start(grid, model(), num_rounds=4, evaluate_fn=between)
    assert [r.survivors for r in strategy.reports] == [5, 6, 5, 5]
    strategy.start(grid, model(), num_rounds=1)
    assert strategy.reports[-1].survivors == 6
    assert not any(r.error for r in strategy.reports)


def test_evaluation_goes_on_as_ever():
    result = secured(FedAvg()).start(SecureNodes(4, app_of), model(), num_rounds=1)
    assert result.evaluate_metrics_clientapp[1]["accuracy"] == 0.5


def test_certified_clients_go_by_their_certificates(tmp_path, quantised):
    authority = Authority.create(tmp_path / "ca")
    for node in range(1, 5):
        authority.enroll(f"camera-{node}", tmp_path / str(node))
    grid = SecureNodes(4, lambda node: app_of(node, tmp_path / str(node)))
    strategy = secured()
    grid.silent = lambda node, now: node == 3 and now == "train"
    strategy.start(grid, model(), num_rounds=1)
    assert strategy.reports[0].survivors == 3
    twins = SecureNodes(4, lambda node: app_of(node, tmp_path / "1"))
    strategy = secured()
    strategy.start(twins, model(), num_rounds=1)
    assert "two nodes have credentials of the same device" in strategy.reports[0].error


def test_neither_messages_nor_logs_hold_a_clients_update(quantised, caplog):
    caplog.set_level(logging.DEBUG)
    grid, strategy = SecureNodes(5, app_of), secured()
    grid.silent = lambda node, now: node == 3 and now == "train"
    strategy.start(grid, model(), num_rounds=2)
    received = b"".join(grid.received)
    logs = caplog.text
    assert len(received) > 5000
    for _, parts in quantised:
        for update, integers in parts:
            for values in (update, integers.coordinates):
                for kind in (np.int8, np.int16, np.int32, np.int64, np.float32, np.float64):
                    assert values[40:56].astype(kind).tobytes() not in received
            for number in update[40:60]:
                assert f"{number:.6f}"[:8] not in logs


def test_a_client_with_the_mod_sends_nothing_in_the_clear():
    grid = SecureNodes(3, app_of)
    replies = grid.send_and_receive(FedAvg().configure_train(1, model(), ConfigRecord(), grid))
    assert all("secure aggregation must be on at server" in r.error.reason for r in replies)


def test_a_client_joins_no_fleet_that_is_smaller_than_it_wants():
    grid, strategy = SecureNodes(4, lambda node: app_of(node, least=5)), secured()
    strategy.start(grid, model(), num_rounds=1)
    assert "0 clients are ready" in strategy.reports[0].error
    with pytest.raises(ConfigError, match="least_clients must be at least 3, not 2"):
        SecureMod(least_clients=2)


def test_strategies_that_need_single_updates_are_refused():
    with pytest.raises(ConfigError, match="Krum looks at single updates"):
        secured(Krum())
    with pytest.raises(ConfigError, match="ServerSideFixedClipping looks at single updates"):
        secured(DifferentialPrivacyServerSideFixedClipping(FedAvg(), 1.0, 1.0, 5))
    with pytest.raises(ConfigError, match="kept must be above 0"):
        secured(kept=0.0)
    with pytest.raises(ConfigError, match="take fewer levels"):
        secured(levels=1 << 31).start(SecureNodes(3, app_of), model(), num_rounds=1)
