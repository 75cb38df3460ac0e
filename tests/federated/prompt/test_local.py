"""A device's own arithmetic."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("flwr", reason="needs the federated extra")

import torch.nn.functional as F

from narrows.federated.prompt.local import (
    choose,
    el2n,
    output_gradient,
    stand_ins,
    step_prompt,
    train_classifier,
)
from narrows.federated.prompt.messages import Terms
from narrows.federated.prompt.network import Learned


def learned(width: int = 6, labels: int = 4) -> Learned:
    torch.manual_seed(1)
    return Learned(torch.zeros(2, 3, 3), torch.randn(labels, width), torch.randn(labels))


def test_el2n_is_the_norm_of_probabilities_less_the_label():
    model = Learned(torch.zeros(1, 1, 1), torch.eye(2), torch.zeros(2))
    x = torch.tensor([[0.0, 0.0], [50.0, 0.0], [50.0, 0.0]])
    found = el2n(model, x, torch.tensor([0, 0, 1]))
    assert found.tolist() == pytest.approx([2**0.5 / 2, 0, 2**0.5], abs=1e-6)


@pytest.mark.parametrize(("kept", "wanted"), [(0.5, [1, 2, 4]), (0.01, [4]), (1.0, [*range(5)])])
def test_pruning_keeps_the_highest_scores(kept, wanted):
    assert choose(torch.tensor([0.1, 0.7, 0.5, 0.2, 0.9]), kept).tolist() == wanted


def test_the_gradient_to_outputs_is_autograds():
    model, labels = learned(), torch.tensor([0, 3, 1, 1, 2])
    x = torch.randn(5, 6, requires_grad=True)
    F.cross_entropy(F.linear(x, model.weight, model.bias), labels).backward()
    assert torch.allclose(output_gradient(model, x.detach(), labels), x.grad, atol=1e-6)


def test_the_classifier_learns_and_the_prompt_stays():
    model, labels = learned(), torch.tensor([0, 1, 2, 3] * 8)
    x = F.one_hot(labels, 6).float() * 3
    chance = np.random.default_rng(0)
    after = train_classifier(model, x, labels, 20, Terms(learning_rate=0.1), chance)
    assert (F.linear(x, after.weight, after.bias).argmax(1) == labels).all()
    assert after.prompt is model.prompt


def test_outputs_not_seen_are_guessed_from_those_that_were():
    torch.manual_seed(0)
    features, truth = torch.randn(60, 8), torch.randn(8, 5)
    outputs, seen = features @ truth, torch.arange(60) < 50
    found = stand_ins(torch.where(seen[:, None], outputs, 0), seen, features)
    assert torch.equal(found[:50], outputs[:50])
    errors = (found[50:] - outputs[50:]).norm() / (outputs[50:] - outputs.mean(0)).norm()
    assert errors < 0.3


def test_nothing_is_guessed_from_nothing():
    outputs, seen = torch.zeros(4, 3), torch.zeros(4, dtype=torch.bool)
    assert stand_ins(outputs, seen, torch.randn(4, 2)) is outputs


def test_a_prompts_step_has_the_length_it_is_given_and_none_without_gradient():
    model = learned()
    gradient = torch.randn(2, 3, 3) * 1e-7
    moved = step_prompt(model, gradient, 0.05).prompt
    assert float(moved.square().mean().sqrt()) == pytest.approx(0.05, rel=1e-4)
    assert float((moved * gradient).sum()) < 0
    assert torch.equal(step_prompt(model, torch.zeros(2, 3, 3), 0.05).prompt, model.prompt)
