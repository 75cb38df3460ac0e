"""A round of sums on shares, whole, in one process, and the same in Python's integers."""

from dataclasses import dataclass

import numpy as np

from narrows.sharing import field
from narrows.sharing.code import LagrangeCode
from narrows.sharing.evaluation import respond
from narrows.sharing.field import Field
from narrows.sharing.parameters import SharingParameters


@dataclass(frozen=True)
class Round:
    """Every holder's segments (K, rows, d_n) and weights (F, d_n, e), in the clear."""

    parameters: SharingParameters
    segments: list[Field]
    weights: list[Field]

    @property
    def shape(self) -> tuple[int, int]:
        return self.segments[0].shape[1], self.weights[0].shape[2]

    def responses(self, code: LagrangeCode) -> dict[int, Field]:
        """What all N parties send, each knowing its shares only."""
        data = [code.share_segments(s) for s in self.segments]
        models = [code.share_replicated(w) for w in self.weights]
        zeros = [code.share_zero(self.shape) for _ in self.segments]
        return {
            n: respond(
                [d[n] for d in data],
                [m[n] for m in models],
                [z[n] for z in zeros],
                self.parameters.prime,
            )
            for n in range(self.parameters.parties)
        }

    def sums_in_the_clear(self) -> list:
        """sum_n f(X_nk, W_n) mod p, (K, rows, e), by Python's integers alone."""
        total = np.zeros((self.parameters.segments, *self.shape), object)
        for segments, weights in zip(self.segments, self.weights, strict=True):
            product = np.ones_like(total)
            for factor in weights.astype(object):
                product = product * (segments.astype(object) @ factor)
            total = total + product
        return (total % self.parameters.prime).tolist()


def random_round(parameters: SharingParameters, seed: int, rows: int = 2, e: int = 2) -> Round:
    """Uniform field elements for one to three holders of one to three columns."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(1, 4, size=rng.integers(1, 4))

    def draw(*shape: int) -> Field:
        return rng.integers(0, parameters.prime, shape, np.uint64)

    return Round(
        parameters,
        [draw(parameters.segments, rows, d) for d in columns],
        [draw(parameters.degree // 2, d, e) for d in columns],
    )


def shifted(response: Field, p: int) -> Field:
    """A response that is wrong everywhere."""
    return field.add(response, np.ones_like(response), p)
