"""Compressed rounds in Flower: who holds which model, what is lost, what inner strategies see."""

import logging

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower has no release for this Python")

from compressed import app, arrays, equal
from flwr.app import ConfigRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi

from narrows.errors import ConfigError, SessionError
from narrows.federated.compression.mod import HELD, RECORD, CompressionMod
from narrows.federated.compression.strategy import CompressedUpdates
from narrows.federated.secure.strategy import SecureAggregation
from narrows.simulations.rounds.nodes import Nodes


def averaging(**changed) -> FedAvg:
    return FedAvg(**({"fraction_evaluate": 0.0} | changed))


def total_of(record) -> np.ndarray:
    """All numbers but the counter, which averaging alone makes a fraction of."""
    values = [record[name].numpy() for name in record if name != "steps"]
    return np.concatenate([v.astype(np.float64).ravel() for v in values])


def test_a_client_holds_what_the_server_published_bit_for_bit():
    nodes, strategy = Nodes(4, app(CompressionMod())), CompressedUpdates(averaging())
    strategy.start(nodes, arrays(), num_rounds=4)
    for node, context in nodes.contexts.items():
        assert equal(context.state["seen"], strategy.held_by(node))
        assert context.state[HELD]["version"] == 3  # all are led together, by the same bytes
    assert not equal(context.state["seen"], arrays())


def test_with_partial_participation_each_clients_model_is_known_bit_for_bit():
    inner = averaging(fraction_train=0.25, fraction_evaluate=0.25, min_train_nodes=2)
    nodes, strategy = Nodes(8, app(CompressionMod())), CompressedUpdates(inner)

    def look(number, _):
        for node, context in nodes.contexts.items():
            if "seen" in context.state:
                assert equal(context.state["seen"], strategy.held_by(node))

    strategy.start(nodes, arrays(), num_rounds=12, evaluate_fn=look)
    assert all(r.arrived == 2 and not r.dropped for r in strategy.reports)
    assert len({context.state[HELD]["version"] for context in nodes.contexts.values()}) > 2


def test_the_result_is_near_the_uncompressed_and_nothing_is_rounded_that_must_not():
    plain = averaging().start(Nodes(5, app()), arrays(), num_rounds=3).arrays
    strategy = CompressedUpdates(averaging(), error_up=0.02, error_down=0.02, start_error=0.01)
    coded = strategy.start(Nodes(5, app(CompressionMod())), arrays(), num_rounds=3).arrays
    moved = np.linalg.norm(total_of(plain) - total_of(arrays()))
    assert np.linalg.norm(total_of(coded) - total_of(plain)) < 0.35 * moved
    assert coded["steps"].numpy() == 5 + 3 * 3
    assert (coded["norm.running_var"].numpy() > 0).all()
    assert {n: a.dtype for n, a in coded.items()} == {n: a.dtype for n, a in arrays().items()}


@pytest.mark.parametrize(
    "inner",
    [
        lambda: FedAvgM(fraction_evaluate=0.0, server_momentum=0.5),
        lambda: FedAdam(fraction_evaluate=0.0, eta=1e-2),
        lambda: FedYogi(fraction_evaluate=0.0, eta=1e-2),
        lambda: FedProx(fraction_evaluate=0.0, proximal_mu=0.1),
    ],
)
def test_other_strategies_run_unchanged(inner):
    strategy = CompressedUpdates(inner())
    result = strategy.start(Nodes(3, app(CompressionMod())), arrays(), num_rounds=3)
    assert [r.arrived for r in strategy.reports] == [3, 3, 3]
    assert not equal(result.arrays, arrays())


def test_bytes_are_far_fewer_than_the_arrays():
    strategy = CompressedUpdates(averaging())
    strategy.start(Nodes(3, app(CompressionMod())), arrays(), num_rounds=6)
    size = sum(array.numpy().nbytes for array in arrays().values())
    last = strategy.reports[-1]
    assert 0 < last.bytes_up < 3 * size / 8
    assert 0 < last.bytes_down < 3 * size / 8


def test_a_lost_answer_and_a_lost_state_cost_a_round_and_no_more():
    nodes, strategy = Nodes(3, app(CompressionMod())), CompressedUpdates(averaging())
    stages = {2: lambda: setattr(nodes, "lost", lambda node: node == 1),
              3: lambda: setattr(nodes, "lost", lambda node: False),
              4: lambda: nodes.contexts[2].state.clear()}  # fmt: skip

    def look(number, _):
        stages.get(number + 1, lambda: None)()

    strategy.start(nodes, arrays(), num_rounds=6, evaluate_fn=look)
    assert [r.arrived for r in strategy.reports] == [3, 2, 3, 2, 3, 3]
    for node, context in nodes.contexts.items():
        assert equal(context.state["seen"], strategy.held_by(node))


def test_an_answer_that_was_lost_on_its_way_back_leaves_a_version_to_go_on_from():
    """The client went ahead, the server does not know: the one before is still there."""
    nodes, strategy = Nodes(3, app(CompressionMod())), CompressedUpdates(averaging())
    inner, number = nodes.send_and_receive, [0]

    def losing(messages, *, timeout=None):
        replies = list(inner(messages))
        number[0] += bool(replies)
        return replies[1:] if number[0] == 3 else replies

    nodes.send_and_receive = losing
    strategy.start(nodes, arrays(), num_rounds=5)
    assert [r.arrived for r in strategy.reports] == [3, 3, 2, 3, 3]


def test_a_damaged_reply_is_dropped_by_name_and_the_round_goes_on(caplog):
    nodes, strategy = Nodes(4, app(CompressionMod())), CompressedUpdates(averaging())

    def heard(message):
        ours = None if message.has_error() else message.content.config_records.get(RECORD)
        if message.metadata.src_node_id == 3 and ours is not None and "update" in ours:
            update = bytearray(ours["update"])
            update[-1] ^= 1
            message.content[RECORD] = ConfigRecord({"update": bytes(update)})

    nodes.heard = heard
    with caplog.at_level(logging.WARNING):
        strategy.start(nodes, arrays(), num_rounds=2)
    assert [r.arrived for r in strategy.reports] == [3, 3]
    assert strategy.reports[0].dropped[0].startswith("3: ChecksumError")
    assert "node 3: ChecksumError" in caplog.text


def test_a_damaged_model_is_an_error_at_the_client_and_sent_whole_next_time():
    nodes, strategy = Nodes(2, app(CompressionMod())), CompressedUpdates(averaging())
    rounds = [0]

    def heard(message):
        if message.metadata.dst_node_id == 2 and RECORD in message.content:
            rounds[0] += 1
            if rounds[0] == 2:
                ours = dict(message.content[RECORD])
                ours["strings"] = [ours["strings"][0][:-1] + b"\x55"]
                message.content = RecordDict({**message.content, RECORD: ConfigRecord(ours)})

    nodes.heard = heard
    strategy.start(nodes, arrays(), num_rounds=4)
    assert [r.arrived for r in strategy.reports] == [2, 1, 2, 2]


def test_a_client_without_the_mod_is_left_out():
    strategy = CompressedUpdates(averaging())
    result = strategy.start(Nodes(2, app()), arrays(), num_rounds=1)
    assert strategy.reports[0].arrived == 0
    assert not list(result.arrays)


def test_masks_and_entropy_coding_are_refused_together():
    secure = SecureAggregation(averaging(), clipping_norm=1.0)
    with pytest.raises(ConfigError, match=r"SecureAggregation\(kept=, levels=\)"):
        CompressedUpdates(secure)
    with pytest.raises(ConfigError, match=r"kept="):
        SecureAggregation(CompressedUpdates(averaging()), clipping_norm=1.0)


def test_a_server_that_does_not_compress_is_told_so():
    strategy = averaging()
    nodes, reasons = Nodes(2, app(CompressionMod())), []
    nodes.heard = lambda m: reasons.append(m.error.reason) if m.has_error() else None
    strategy.start(nodes, arrays(), num_rounds=1)
    assert all("CompressedUpdates" in reason for reason in reasons)
    assert len(reasons) == 2


def test_impossible_settings_are_refused():
    for wrong in (
        {"error_up": 1.0},
        {"error_down": -0.1},
        {"start_error": 0},
        {"most_clients": 0},
    ):
        with pytest.raises(ConfigError):
            CompressedUpdates(averaging(), **wrong)
    with pytest.raises(ConfigError):
        CompressionMod(feedback=1.5)
    with pytest.raises(SessionError):
        CompressedUpdates(averaging()).held_by(1)


def test_a_first_round_without_answers_costs_nothing_later():
    """What clients begin with stands in for the initial arrays as long as these are the model."""
    nodes, strategy = (
        Nodes(2, app(CompressionMod())),
        CompressedUpdates(averaging(), start_error=0.6),
    )
    nodes.lost = lambda node: True
    found = []

    def look(number, _):
        found.extend(strategy.reports[-1:])
        if number:
            nodes.lost = lambda node: False

    strategy.start(nodes, arrays(), num_rounds=2, evaluate_fn=look)
    assert [r.arrived for r in found] == [0, 2]
    assert found[1].bytes_down == found[0].bytes_down
