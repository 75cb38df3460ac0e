"""A party's own networks and Adam against torch and against differences."""

import numpy as np
import pytest

from narrows.edge.vertical.local import Adam, Mlp, Product

SEED = bytes(32)


def networks():
    return [
        Product.begin(4, 9, 3, 1, SEED),
        Product.begin(4, 9, 3, 2, SEED),
        Mlp.begin(4, 3, 5, SEED),
    ]


@pytest.mark.parametrize("which", range(3))
def test_gradients_are_those_of_differences(which):
    network, rng = networks()[which], np.random.default_rng(1)
    x, upstream = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    found = network.gradient(x, upstream)
    assert found.shape == network.weights.shape
    flat, step = network.weights.reshape(-1), 1e-6
    assert flat.base is not None  # a view: the network sees the change
    for place in range(flat.size):
        before = flat[place]
        sides = []
        for side in (step, -step):
            flat[place] = before + side
            sides.append((network.outputs(x) * upstream).sum())
        flat[place] = before
        slope = (sides[0] - sides[1]) / (2 * step)
        assert found.reshape(-1)[place] == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("which", range(3))
def test_a_seed_gives_the_same_weights_and_another_gives_others(which):
    first = networks()[which].weights
    np.testing.assert_array_equal(first, networks()[which].weights)
    assert (first != Product.begin(4, 9, 3, 1, b"\1" * 32).weights.reshape(-1)[0]).any()
    assert 0 < np.abs(first).max() <= 0.5  # 1/sqrt of 4 inputs at most
    assert np.unique(first).size == first.size


def test_adam_learns_as_torchs_does():
    torch = pytest.importorskip("torch", reason="needs the server extra")
    rng = np.random.default_rng(0)
    weights, adam = rng.normal(size=(1, 4, 3)), Adam(0.05, 100.0)
    theirs = torch.tensor(weights, requires_grad=True)
    optimiser = torch.optim.Adam([theirs], 0.05)
    for _ in range(30):
        gradient = rng.normal(size=weights.shape)
        adam.step(weights, gradient)
        theirs.grad = torch.from_numpy(gradient)
        optimiser.step()
    np.testing.assert_allclose(weights, theirs.detach().numpy(), rtol=1e-9)


def test_parts_learn_as_the_whole_does():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(6, 2))
    parts, adams = [whole[:4].copy(), whole[4:].copy()], [Adam(0.1, 9.0) for _ in range(2)]
    adam = Adam(0.1, 9.0)
    for _ in range(5):
        gradient = rng.normal(size=whole.shape)
        adam.step(whole, gradient)
        for part, one, piece in zip(parts, adams, np.split(gradient, [4]), strict=True):
            one.step(part, piece)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_weights_are_held_to_their_range():
    weights, adam = np.array([0.9, -0.9]), Adam(0.5, 1.0)
    adam.step(weights, np.array([-1.0, 1.0]))
    np.testing.assert_array_equal(weights, [1.0, -1.0])
