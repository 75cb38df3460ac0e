"""A vertical training in the clear, and everything that server and parties see of it.

The arithmetic is the system's own: tables and weights quantised, embeddings and their sum elements
of F_p, dequantised, in the order of a session's schedule. Only the shares are left out: they
decode to exactly these sums. Two ways to join what N parties compute of their columns:

* summed, as here: the server is given the sum alone, the parties the gradient of the sum.
* side by side, as split networks mostly have it: the server is given every embedding, a party the
  gradient of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.edge.vertical.local import Adam, Product
from narrows.server.vertical.top import Learner
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.evaluation import evaluate
from narrows.sharing.fixed_point import FixedPoint, Reals, dequantise
from narrows.sharing.parameters import widest_code
from narrows.sharing.schedule import Schedule
from narrows.simulations.vertical.datasets import LIMIT, VerticalData

BITS = 16  # of either scale
LEAST_PARTIES = 3  # D T + 1 responses, for linear parties and one colluder


@dataclass(frozen=True)
class Training:
    """How long and how wide."""

    epochs: int = 20
    width: int = 16  # e, of each party's embedding
    batch: int = 64  # records of a round, about
    hidden: tuple[int, ...] = ()
    rate: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Seen:
    """One training, as the server and the parties saw it. Of records in their order."""

    trained: NDArray[np.bool_]  # (records,); the others are held out
    embeddings: NDArray[np.float64]  # (epochs, N, records, e), as computed in each epoch's rounds
    gradients: NDArray[np.float32]  # (epochs, records, e or N e); 0 of records held out
    accuracy: float  # of the held-out records, after the last epoch

    @property
    def sums(self) -> NDArray[np.float64]:
        """(epochs, records, e): exact, as the integers' sum is below 2^53."""
        return self.embeddings.sum(1)  # type: ignore[no-any-return]


def train(
    data: VerticalData, how: Training, summed: bool, advance: Callable[[], None] = lambda: None
) -> Seen:
    """Train from beginning to end; `advance` is called after each epoch.

    Raises:
        ConfigError: sums that could wrap around, or too few parties or records.
    """
    parties, count = len(data.parts), data.records
    code = widest_code(max(parties, LEAST_PARTIES), 0, 1, 2)
    columns = tuple(part.shape[1] for part in data.parts)
    bounds = SessionBounds(code, FixedPoint(BITS, LIMIT), FixedPoint(BITS, LIMIT), columns)
    schedule = Schedule(
        count, data.held_out, code.segments, -(-how.batch // code.segments),
        how.epochs, how.seed,
    )  # fmt: skip
    numbers = schedule.arrange(np.arange(1, count + 1)) - 1  # (K, h + h'); -1: filled up
    networks = [
        Product.begin(d, sum(columns), how.width, 1, f"{how.seed}/{n}".encode())
        for n, d in enumerate(columns)
    ]
    optimisers = [Adam(how.rate, LIMIT) for _ in networks]
    joined = how.width * (1 if summed else parties)
    learner = Learner(joined, len(data.classes), how.hidden, how.rate, how.seed)
    embeddings = np.zeros((how.epochs, parties, count, how.width))
    gradients = np.zeros((how.epochs, count, joined), np.float32)
    logits = np.zeros((count, len(data.classes)))
    for index in range(len(schedule)):
        step = schedule.step(index)
        chosen = numbers[:, step.rows].ravel()
        chosen = chosen[chosen >= 0]
        x = [part[chosen] for part in data.parts]
        parts = np.stack([_embedded(a, n, bounds) for a, n in zip(x, networks, strict=True)])
        embeddings[step.epoch][:, chosen] = parts
        inputs = parts.sum(0) if summed else np.concatenate(parts, axis=1)
        if step.training:
            gradient = learner.learn(inputs, data.labels[chosen]).gradient
            gradients[step.epoch][chosen] = gradient
            for n, (network, optimiser) in enumerate(zip(networks, optimisers, strict=True)):
                own = gradient if summed else np.split(gradient, parties, axis=1)[n]
                optimiser.step(network.weights, network.gradient(x[n], own.astype(np.float64)))
        else:
            logits[chosen] = learner.logits(inputs)
        if index + 1 == len(schedule) or schedule.step(index + 1).epoch > step.epoch:
            advance()
    trained = np.zeros(count, bool)
    trained[: data.training] = True
    right = logits.argmax(1)[~trained] == data.labels[~trained]
    return Seen(trained, embeddings, gradients, float(right.mean()))


def _embedded(x: Reals, network: Product, bounds: SessionBounds) -> Reals:
    """(rows, e): what is decoded of one party's part."""
    p = bounds.parameters.prime
    table = bounds.data.quantise(x, p)
    weights = bounds.weights.quantise(network.weights, p)
    return dequantise(evaluate(table, weights, p), bounds.scale_bits, p)
