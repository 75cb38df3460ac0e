"""What a device computes itself: outputs without the body, the classifier's epochs, the choice.

A local epoch skips the body, as in SFPrompt, but what a convolutional head gives is no input of the
classifier. In the body's place stand the outputs that it once gave for a picture, and where there
are none yet, a ridge regression on the device's own pictures from pooled features to outputs. The
prompt learns nothing here: behind pooling it would only be a bias, which the classifier has.

Cao, Zhu and Gong, "SFPrompt: communication-efficient split federated fine-tuning for large
pre-trained models over resource-limited devices" (arXiv:2407.17533); EL2N scores after Paul,
Ganguli and Dziugaite, "Deep learning on a data diet" (NeurIPS 2021).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from narrows.federated.prompt.messages import Terms
from narrows.federated.prompt.network import Learned

CELLS = 4  # a feature map is pooled to so many a side
RIDGE = 1.0


def pooled(features: Tensor) -> Tensor:
    """Features (n, channels, h, w) -> means and magnitudes of their cells (n, 32 channels)."""
    both = torch.cat([features, features.abs()], 1)
    return F.adaptive_avg_pool2d(both, CELLS).flatten(1)


def stand_ins(outputs: Tensor, seen: Tensor, pooled_features: Tensor) -> Tensor:
    """Outputs (n, width), those not `seen` (n,) guessed from pooled features (n, d).

    Ridge regression in its dual form: a device has fewer pictures than features.
    """
    if bool(seen.all()) or not bool(seen.any()):
        return outputs
    deviation, mean = torch.std_mean(pooled_features, 0)
    x = (pooled_features - mean) / (deviation + 1e-6) / math.sqrt(pooled_features.shape[1])
    known, centre = x[seen], outputs[seen].mean(0)
    kernel = known @ known.T + RIDGE * torch.eye(len(known))
    found = outputs.clone()
    fitted = torch.linalg.solve(kernel, outputs[seen] - centre)
    found[~seen] = centre + x[~seen] @ known.T @ fitted
    return found


def train_classifier(
    learned: Learned,
    x: Tensor,
    labels: Tensor,
    epochs: int,
    terms: Terms,
    chance: np.random.Generator,
) -> Learned:
    """Softmax regression on (n, width) by stochastic gradient descent; the prompt stays."""
    weight, bias = (t.clone().requires_grad_(True) for t in (learned.weight, learned.bias))
    optimiser = torch.optim.SGD(
        [weight, bias], terms.learning_rate, terms.momentum, weight_decay=terms.decay
    )
    for _ in range(epochs):
        order = torch.from_numpy(chance.permutation(len(labels)))
        for batch in order.split(terms.batch):
            loss = F.cross_entropy(F.linear(x[batch], weight, bias), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return Learned(learned.prompt, weight.detach(), bias.detach())


def el2n(learned: Learned, x: Tensor, labels: Tensor) -> Tensor:
    """The L2 norm of each picture's error (n,): of probabilities less the label's one."""
    return _error(learned, x, labels).norm(dim=1)


def choose(scores: Tensor, kept: float) -> Tensor:
    """The places of the highest `kept` of the scores, at least one, ascending: int64 (m,)."""
    return scores.topk(kept_of(len(scores), kept)).indices.sort().values


def kept_of(pictures: int, kept: float) -> int:
    """How many go through the body."""
    return min(pictures, max(1, math.ceil(kept * pictures)))


def output_gradient(learned: Learned, x: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy's gradient to outputs (m, width)."""
    return _error(learned, x, labels) @ learned.weight / len(labels)


def step_prompt(learned: Learned, gradient: Tensor, rate: float) -> Learned:
    """A step against the gradient (channels, h, w), `rate` long as root mean square.

    Few steps are taken and a gradient's size says little across networks, so its length is given.
    """
    size = gradient.square().mean().sqrt()
    step = rate * gradient / size if size > 0 else torch.zeros_like(gradient)
    return Learned(learned.prompt - step, learned.weight, learned.bias)


def _error(learned: Learned, x: Tensor, labels: Tensor) -> Tensor:
    probabilities = F.softmax(F.linear(x, learned.weight, learned.bias), 1)
    return probabilities - F.one_hot(labels, len(learned.bias))
