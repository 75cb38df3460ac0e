import numpy as np
import pytest

torch = pytest.importorskip("torch")

from narrows.edge.vertical.local import Adam, Mlp, Product

RNG = np.random.default_rng(0)
X, UPSTREAM = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 3))


def product(x, weights):
    return torch.prod(x @ weights, dim=0)


def mlp(x, weights):
    first, second = weights[: 5 * 6].reshape(5, 6), weights[5 * 6 :].reshape(6, 3)
    return torch.relu(x @ first[:-1] + first[-1]) @ second


@pytest.mark.parametrize(
    ("network", "same"),
    [
        (Product.begin(4, 10, 3, 1, b"seed"), product),
        (Product.begin(4, 10, 3, 2, b"seed"), product),
        (Product.begin(4, 10, 3, 3, b"seed"), product),
        (Mlp.begin(4, 3, 6, b"seed"), mlp),
    ],
    ids=["linear", "quadratic", "cubic", "mlp"],
)
def test_outputs_and_gradients_are_those_of_automatic_differentiation(network, same):
    weights = torch.tensor(network.weights, requires_grad=True)
    outputs = same(torch.tensor(X), weights)
    outputs.backward(torch.tensor(UPSTREAM))
    np.testing.assert_allclose(network.outputs(X), outputs.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(network.gradient(X, UPSTREAM), weights.grad.numpy(), atol=1e-12)


def test_parts_learn_exactly_as_the_whole_does():
    whole = RNG.normal(size=(1, 7, 3))
    parts = [whole[:, :2].copy(), whole[:, 2:].copy()]
    one, some = Adam(0.01, 8.0), [Adam(0.01, 8.0), Adam(0.01, 8.0)]
    for _ in range(10):
        gradient = RNG.normal(size=whole.shape)
        one.step(whole, gradient)
        some[0].step(parts[0], gradient[:, :2])
        some[1].step(parts[1], gradient[:, 2:])
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_adam_is_torch_s():
    weights = RNG.normal(size=(4, 3))
    theirs = torch.tensor(weights, requires_grad=True)
    optimiser, ours = torch.optim.Adam([theirs], 0.02), Adam(0.02, 8.0)
    for _ in range(20):
        gradient = RNG.normal(size=weights.shape)
        ours.step(weights, gradient)
        theirs.grad = torch.tensor(gradient)
        optimiser.step()
    np.testing.assert_allclose(weights, theirs.detach().numpy(), atol=1e-12)


def test_weights_stay_within_the_range_that_sums_are_proved_for():
    weights = np.array([[0.9, -0.9]])
    adam = Adam(1.0, 1.0)
    adam.step(weights, np.array([[-1.0, 1.0]]))
    np.testing.assert_array_equal(weights, [[1.0, -1.0]])
