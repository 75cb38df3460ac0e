"""Devices that vanish or send nonsense are left out by name; messages out of turn are refused."""

import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("flwr", reason="needs the federated extra")

from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from prompt_rounds import SIDE, Link, examples, network, rounds, tell, told, tuning

from narrows.errors import ConfigError, PacketError
from narrows.federated.prompt.memory import Memory
from narrows.federated.prompt.messages import Chosen, Coded, Plan
from narrows.federated.prompt.network import Learned, cut_in_three
from narrows.models.backbones import build_backbone

ACTIONS = ("train", "train.tail", "train.prompt")


@pytest.mark.parametrize("action", ACTIONS)
def test_a_device_that_vanishes_is_left_out_and_comes_back(action):
    parts = network()
    link, strategy = Link(parts, 3), tuning(parts)
    left = [1]  # it is away once
    link.lost = lambda node, now: now == action and node == 2 and bool(left) and bool(left.pop())
    rounds(link, strategy, parts, 2)
    assert [report.survivors for report in strategy.reports] == [2, 3]


def test_a_round_of_nobody_leaves_the_model_as_it_was():
    parts = network()
    link, strategy = Link(parts, 2), tuning(parts)
    link.lost = lambda node, action: action == "train.tail"
    rounds(link, strategy, parts, 1)
    assert strategy.reports[-1].survivors == 0


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 0x10
    return bytes(changed)


def damage(reply: Message) -> None:
    """A flipped bit in the coded numbers, the message around them whole."""
    if reply.metadata.message_type == "train":
        chosen = Chosen.decode(reply)
        strings = (flipped(chosen.strings[0]), *chosen.strings[1:])
        tell(reply, Chosen(chosen.places, chosen.coding, strings).encode())
    else:
        coded = Coded.decode(reply)
        tell(reply, Coded(coded.number, coded.coding, flipped(coded.string)).encode())


@pytest.mark.parametrize("action", ACTIONS[:2])
def test_damaged_numbers_from_a_device_are_named_and_leave_it_out(action, caplog):
    parts = network()
    link, strategy = Link(parts, 3), tuning(parts)
    link.changed = lambda node, now, way, message: (
        damage(message) if (node, now, way) == (2, action, "up") else None
    )
    with caplog.at_level(logging.WARNING, "narrows"):
        rounds(link, strategy, parts, 1)
    assert strategy.reports[-1].survivors == 2
    assert "node 2: ChecksumError" in caplog.text


@pytest.mark.parametrize("action", ACTIONS[1:])
def test_damaged_numbers_from_the_server_are_an_error_of_that_device(action, caplog):
    parts = network()
    link, strategy = Link(parts, 3), tuning(parts)
    link.changed = lambda node, now, way, message: (
        damage(message) if (node, now, way) == (2, action, "down") else None
    )
    with caplog.at_level(logging.WARNING, "narrows"):
        rounds(link, strategy, parts, 1)
    assert strategy.reports[-1].survivors == 2
    assert "CRC-32C differs" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda c: Chosen((), c.coding, ()),
        lambda c: Chosen((*c.places, c.places[0]), c.coding, c.strings),
        lambda c: Chosen(c.places, c.coding, c.strings[1:]),
        lambda c: Chosen(c.places, b"no tables", c.strings),
        lambda c: Coded(1, c.coding, b""),
    ],
    ids=["none", "twice", "too few", "tables", "other message"],
)
def test_choices_that_do_not_fit_leave_a_device_out(wrong, caplog):
    parts = network()
    link, strategy = Link(parts, 2), tuning(parts)
    link.changed = lambda node, action, way, message: (
        tell(message, wrong(Chosen.decode(message)).encode())
        if (node, action, way) == (2, "train", "up")
        else None
    )
    with caplog.at_level(logging.WARNING, "narrows"):
        rounds(link, strategy, parts, 1)
    assert strategy.reports[-1].survivors == 1
    assert "node 2: " in caplog.text


@pytest.mark.parametrize("values", [np.zeros((5, 3)), np.full((5, 208), np.nan)])
def test_a_classifier_of_another_shape_or_no_numbers_is_not_averaged(values):
    parts = network()
    link, strategy = Link(parts, 2), tuning(parts)

    def change(node, action, way, message):
        if (node, action, way) == (2, "train.prompt", "up"):
            arrays = dict(message.content["arrays"])
            arrays["weight"] = Array(values.astype(np.float32))
            message.content["arrays"] = ArrayRecord(arrays)

    link.changed = change
    arrays = rounds(link, strategy, parts, 1)
    assert strategy.reports[-1].survivors == 1
    assert np.isfinite(arrays["weight"].numpy()).all()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"metrics": MetricRecord({"num-examples": 24})},
        {"arrays": True, "more": True, "metrics": MetricRecord({"num-examples": 24})},
        {"arrays": True},
        {"arrays": True, "metrics": MetricRecord({"num-examples": 10**9})},
        {"arrays": True, "metrics": MetricRecord({"num-examples": 24.5})},
    ],
    ids=["nothing", "no arrays", "two arrays", "no count", "too many", "half a picture"],
)
def test_replies_that_cannot_be_averaged_leave_a_device_out(content):
    parts = network()
    link, strategy = Link(parts, 2), tuning(parts)

    def change(node, action, way, message):
        if (node, action, way) == (2, "train.prompt", "up"):
            arrays = message.content["arrays"]
            records = {k: arrays if v is True else v for k, v in content.items()}
            message.content = RecordDict(records)

    link.changed = change
    rounds(link, strategy, parts, 1)
    assert strategy.reports[-1].survivors == 1


def test_a_device_that_lost_its_state_with_other_pictures_comes_back_a_round_later():
    parts, seed = network(), [0]
    link, strategy = Link(parts, 2, lambda node: examples(node + seed[0])), tuning(parts)

    def forget(node, action, way, message):
        if Plan.decode(message).number == 2 and node == 2 and not seed[0]:
            seed[0] = 10
            link.context(2).state.clear()

    link.changed = lambda node, action, way, message: (
        forget(node, action, way, message) if (action, way) == ("train", "down") else None
    )
    rounds(link, strategy, parts, 3)
    assert [report.survivors for report in strategy.reports] == [2, 1, 2]


def test_messages_out_of_turn_are_refused():
    parts = network()
    link, strategy = Link(parts, 1), tuning(parts)
    early = link.alone(Message(Coded(1, b"", b"").record(), 1, "train.tail"))
    assert "round 1 was not begun here" in early.error.reason
    rounds(link, strategy, parts, 1)
    late = link.alone(Message(Coded(1, b"", b"").record(), 1, "train.prompt"))
    assert "round 1 was not begun here" in late.error.reason
    assert Memory.of(link.context(1)) is not None


def test_a_device_with_another_cut_says_so(caplog):
    parts = network()
    link = Link(cut_in_three(build_backbone("small_resnet", 5, 4), 2), 1)
    with caplog.at_level(logging.WARNING, "narrows"):
        rounds(link, tuning(parts), parts, 1)
    assert "cut the same network at the same place" in caplog.text


def test_a_label_that_is_not_learned_is_refused(caplog):
    parts = network()
    link = Link(parts, 1, beyond)
    with caplog.at_level(logging.WARNING, "narrows"):
        rounds(link, tuning(parts), parts, 1)
    assert "labels" in caplog.text


def beyond(node: int):
    found = examples(node)
    found.labels[0] = 5
    return found


def test_bytes_that_are_no_message_are_named():
    message = Message(Plan(1, tuning(network())._terms, ()).record(), 1, "train")
    tell(message, told(message)[:-3])
    with pytest.raises(PacketError, match="no Plan"):
        Plan.decode(message)


def test_other_arrays_are_refused():
    arrays = network().beginning(SIDE).to_arrays()
    arrays["bias"] = Array(arrays["bias"].numpy().astype(np.float64))
    with pytest.raises(ConfigError, match="float32"):
        Learned.from_arrays(arrays)


@pytest.mark.parametrize("layers", [0, 3])
def test_a_cut_outside_the_front_is_refused(layers):
    with pytest.raises(ConfigError, match="front"):
        cut_in_three(build_backbone("small_resnet", 5, 4), layers)
