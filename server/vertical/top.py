"""The network above the parties' sum: bias, ReLU, layers to the classes. The only part with labels.

With linear parties the sum is the first layer of a central network, whole and exact: what is
learnt is what one network over all columns would learn, up to quantisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

NO_LABEL = -1  # of rows that fill a segment up


class Top(nn.Module):
    """(rows, e) sums to (rows, classes) logits."""

    def __init__(self, width: int, classes: int, hidden: Sequence[int] = ()):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))
        sizes = [width, *hidden, classes]
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(sizes))

    def forward(self, sums: Tensor) -> Tensor:
        x = sums + self.bias
        for layer in self.layers:
            x = layer(relu(x))
        return x


@dataclass(frozen=True)
class Learnt:
    """What one training step gave."""

    loss: float
    gradient: NDArray[np.float32]  # (rows, e), of the sums: what the parties are told


class Learner:
    """A top network that learns from sums. The seed decides its first weights."""

    def __init__(
        self, width: int, classes: int, hidden: Sequence[int], rate: float, seed: int
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.top = Top(width, classes, hidden)
        self.optimiser = torch.optim.Adam(self.top.parameters(), rate)

    def learn(self, sums: NDArray[np.float64], labels: NDArray[np.int64]) -> Learnt:
        """(rows, e) sums and (rows,) labels, NO_LABEL where a row counts for nothing."""
        inputs = torch.from_numpy(sums.astype(np.float32)).requires_grad_()
        self.optimiser.zero_grad()
        loss = cross_entropy(
            self.top(inputs), torch.from_numpy(labels), ignore_index=NO_LABEL, reduction="sum"
        ) / max(1, int((labels != NO_LABEL).sum()))
        loss.backward()
        self.optimiser.step()
        assert inputs.grad is not None
        return Learnt(float(loss.detach()), inputs.grad.numpy())

    @torch.no_grad()
    def logits(self, sums: NDArray[np.float64]) -> NDArray[np.float32]:
        """(rows, e) to (rows, classes)."""
        return self.top(torch.from_numpy(sums.astype(np.float32))).numpy()  # type: ignore[no-any-return]
