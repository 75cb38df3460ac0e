"""Rounds over Flower's messages: what is learned, what is not, and what crosses."""

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("flwr", reason="needs the federated extra")

import torch.nn.functional as F
from flwr.app import Message, RecordDict
from prompt_rounds import FINE, SIDE, Link, examples, network, rounds, told, tuning

from narrows.federated.prompt.memory import Memory
from narrows.federated.prompt.messages import Chosen, Coded, Plan, Terms
from narrows.federated.prompt.network import NAMES, Learned


def gradient_of_unsplit(parts, learned, data):
    """Of the mean cross-entropy to a prompt of zeros, by one autograd over the whole network."""
    prompt = torch.zeros_like(learned.prompt).requires_grad_(True)
    outputs = parts.body(parts.head(data.pixels) + prompt)
    F.cross_entropy(F.linear(outputs, learned.weight, learned.bias), data.labels).backward()
    return prompt.grad


@pytest.mark.parametrize(("terms", "error"), [(FINE, 0.02), ({}, 0.2)])
def test_the_gradient_through_the_wire_is_the_unsplit_networks(terms, error):
    parts, rate = network(), 0.1
    link = Link(parts, 1)
    strategy = tuning(parts, kept=1.0, prompt_rate=rate, **terms)
    learned = Learned.from_arrays(rounds(link, strategy, parts, 1))
    wanted = gradient_of_unsplit(parts, learned, examples(0))
    wanted = -rate * wanted / wanted.square().mean().sqrt()
    assert (learned.prompt - wanted).norm() / wanted.norm() < error


def test_only_prompt_and_classifier_change():
    parts = network()
    before = {k: v.clone() for k, v in parts.body.backbone.state_dict().items()}
    arrays = rounds(Link(parts, 3), tuning(parts), parts, 2)
    assert tuple(arrays) == NAMES
    for name, tensor in parts.body.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    beginning, learned = parts.beginning(SIDE), Learned.from_arrays(arrays)
    for name in NAMES:
        assert not torch.equal(getattr(learned, name), getattr(beginning, name)), name


def test_the_average_is_weighted_by_pictures():
    parts = network()
    counts = {0: 10, 1: 30}
    link = Link(parts, 2, lambda node: examples(node, counts[node]))
    arrays = rounds(link, tuning(parts), parts, 1)
    single = {
        link_node.metadata.src_node_id: link_node.content["arrays"]["weight"].numpy()
        for link_node in link.replies
        if "arrays" in link_node.content
    }
    wanted = 0.25 * single[1] + 0.75 * single[2]
    assert arrays["weight"].numpy() == pytest.approx(wanted, abs=1e-6)


def test_local_epochs_use_neither_body_nor_network():
    parts = network()
    link, strategy = Link(parts, 1), tuning(parts)
    learned = Learned.from_arrays(rounds(link, strategy, parts, 1))
    calls = []
    parts.body.register_forward_hook(lambda *_: calls.append(1))
    content = RecordDict({"arrays": learned.to_arrays(), **Plan(2, Terms(), ()).record()})
    link.alone(Message(content, 1, "train"))
    memory = Memory.of(link.context(1))
    assert not calls
    assert not torch.equal(memory.learned.weight, learned.weight)
    assert torch.equal(memory.learned.prompt, learned.prompt)


def test_a_round_is_three_messages_a_device_and_activations_are_sent_once():
    parts = network()
    link, strategy = Link(parts, 2), tuning(parts, kept=0.5)
    rounds(link, strategy, parts, 4)
    assert len(link.replies) == 4 * 2 * 3
    sent: dict[int, int] = {1: 0, 2: 0}
    places: dict[int, set[int]] = {1: set(), 2: set()}
    for reply in link.replies:
        if reply.metadata.message_type == "train":
            chosen = Chosen.decode(reply)
            assert len(chosen.places) == 12
            node = reply.metadata.src_node_id
            places[node] |= set(chosen.places)
            sent[node] += len(chosen.strings)
    assert sent == {node: len(found) for node, found in places.items()}
    assert [report.pictures for report in strategy.reports] == [24] * 4


def test_a_device_runs_its_head_once():
    parts, calls = network(), []
    parts.head.register_forward_hook(lambda *_: calls.append(1))
    parts.beginning(SIDE)
    calls.clear()
    rounds(Link(parts, 1), tuning(parts), parts, 3)
    assert len(calls) == 1 + 1  # and once for the prompt's shape


def test_no_message_of_a_device_holds_its_labels():
    parts = network()
    link = Link(parts, 1, lambda node: examples(node, 40))
    rounds(link, tuning(parts, kept=1.0), parts, 3)
    labels = examples(0, 40).labels.numpy()
    forms = [labels.astype(kind).tobytes() for kind in ("u1", "<u2", "<i4", "<i8", "<f4")]
    forms.append(msgspec.msgpack.encode(labels.tolist()))
    forms.append(np.eye(5, dtype=np.float32)[labels].tobytes())
    for reply in link.replies:
        for record in reply.content.values():
            values = [a.data for a in record.values()] if "weight" in record else record.values()
            for value in values:
                assert not any(form[:24] in bytes(value) for form in forms if value)


def test_what_crosses_has_no_place_for_labels():
    assert set(Chosen.__struct_fields__) == {"places", "coding", "strings"}
    assert set(Coded.__struct_fields__) == {"number", "coding", "string"}


def test_the_same_seed_learns_the_same():
    parts = network()
    first, second = (rounds(Link(parts, 2), tuning(parts), parts, 2) for _ in range(2))
    for name in NAMES:
        assert np.array_equal(first[name].numpy(), second[name].numpy())


def test_bytes_down_carry_outputs_far_smaller_than_float32():
    parts = network()
    link = Link(parts, 1, lambda node: examples(node, 64))
    outputs: list[int] = []
    link.changed = lambda node, action, way, m: (
        outputs.append(len(told(m))) if (action, way) == ("train.tail", "down") else None
    )
    rounds(link, tuning(parts, kept=1.0), parts, 1)
    assert outputs[0] < 0.25 * 4 * 64 * parts.width
