"""A party's own network, float64 and without a framework, and how it learns.

On secret shares only polynomials can be computed: `Product`, f(X) = (X W_1) * ... * (X W_F). In
the plain mode, which protects nothing, `Mlp` may be anything; it is there to compare with.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from narrows.sharing.fixed_point import Reals

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class LocalNetwork(Protocol):
    """Columns (rows, d) to the party's part of the sum (rows, e)."""

    @property
    def weights(self) -> Reals:
        """All of them, flat or shaped; the same array after every step."""

    def outputs(self, x: Reals) -> Reals: ...

    def gradient(self, x: Reals, upstream: Reals) -> Reals:
        """Of the weights, from that of the outputs (rows, e); shaped as `weights`."""


@dataclass
class Product:
    """F linear maps multiplied elementwise: F = 1 is the first layer of a central network."""

    weights: Reals  # (F, d, e)

    @classmethod
    def begin(cls, columns: int, of: int, width: int, factors: int, seed: bytes) -> "Product":
        """Uniform in +-1/sqrt(of), as torch begins a layer of all `of` columns."""
        drawn = np.random.default_rng(list(seed)).uniform(-1, 1, (factors, columns, width))
        return cls(drawn / np.sqrt(of))

    def outputs(self, x: Reals) -> Reals:
        return np.prod(x @ self.weights, axis=0)  # type: ignore[no-any-return]

    def gradient(self, x: Reals, upstream: Reals) -> Reals:
        factors = x @ self.weights  # (F, rows, e)
        others = [np.prod(np.delete(factors, i, axis=0), axis=0) for i in range(len(factors))]
        return np.stack([x.T @ (upstream * other) for other in others])


@dataclass
class Mlp:
    """One hidden layer and ReLU: for the plain mode alone. Weights are one flat array."""

    weights: Reals
    columns: int
    hidden: int
    width: int

    @classmethod
    def begin(cls, columns: int, width: int, hidden: int, seed: bytes) -> "Mlp":
        rng = np.random.default_rng(list(seed))
        first = rng.uniform(-1, 1, (columns + 1) * hidden) / np.sqrt(columns)
        second = rng.uniform(-1, 1, hidden * width) / np.sqrt(hidden)
        return cls(np.concatenate([first, second]), columns, hidden, width)

    def outputs(self, x: Reals) -> Reals:
        first, second = self._layers()
        out: Reals = np.maximum(x @ first[:-1] + first[-1], 0) @ second
        return out

    def gradient(self, x: Reals, upstream: Reals) -> Reals:
        first, second = self._layers()
        before = x @ first[:-1] + first[-1]
        down = (upstream @ second.T) * (before > 0)
        parts = [x.T @ down, down.sum(0), np.maximum(before, 0).T @ upstream]
        return np.concatenate([part.ravel() for part in parts])

    def _layers(self) -> tuple[Reals, Reals]:
        cut = (self.columns + 1) * self.hidden
        return (
            self.weights[:cut].reshape(self.columns + 1, self.hidden),
            self.weights[cut:].reshape(self.hidden, self.width),
        )


@dataclass
class Adam:
    """Kingma and Ba (2015). Entry by entry, so parts learn exactly as the whole would.

    Weights are held to +-limit, the range that the session's overflow proof is for.
    """

    rate: float
    limit: float
    steps: int = 0
    mean: Reals = field(default_factory=lambda: np.zeros(()))
    square: Reals = field(default_factory=lambda: np.zeros(()))

    def step(self, weights: Reals, gradient: Reals) -> None:
        """Changes `weights` where they are."""
        self.steps += 1
        self.mean = BETA1 * self.mean + (1 - BETA1) * gradient
        self.square = BETA2 * self.square + (1 - BETA2) * gradient**2
        mean = self.mean / (1 - BETA1**self.steps)
        square = self.square / (1 - BETA2**self.steps)
        weights -= self.rate * mean / (np.sqrt(square) + EPSILON)
        np.clip(weights, -self.limit, self.limit, out=weights)
