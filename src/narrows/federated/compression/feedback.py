"""Planned compression with error feedback: what is left out now is added to the next change.

Error feedback: Seide et al. (Interspeech 2014); Karimireddy et al. (arXiv 1901.09847). The budget
is a share of the change's squared length, so that rounds in which little happens send little.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from narrows.federated.compression.compressors import (
    Choice,
    Coded,
    Reals,
    Settings,
    approximation,
    choices,
    grid_steps,
)
from narrows.federated.compression.contexts import Integers
from narrows.federated.compression.layers import Layout, Tensor
from narrows.federated.compression.model import Model
from narrows.federated.compression.plan import cheapest

Labels = NDArray[np.uint8]


class Compressor(Protocol):
    """What a client makes integers of its change with."""

    def __call__(
        self,
        changes: Sequence[Reals],
        tensors: Sequence[Tensor],
        labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:
        """Flat changes -> each in integers, leaving about `error` of their squared length."""
        ...  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """For each tensor the setting that L-GreCo's programme chooses of these."""

    settings: Settings = field(default_factory=Settings)

    def __call__(
        self, changes: Sequence[Reals], tensors: Sequence[Tensor], labels: Sequence[Labels],
        error: float,
    ) -> list[Coded]:  # fmt: skip
        """As `Compressor`; the error is never exceeded when any choice of settings keeps it."""
        tried = [
            choices(change, tensor, own, self.settings)
            for change, tensor, own in zip(changes, tensors, labels, strict=True)
        ]
        return [choice.coded for choice in planned(tried, error)]


def planned(tried: Sequence[Sequence[Choice]], error: float) -> list[Choice]:
    """Of each tensor's choices, the first of which sends nothing, the cheapest within the error."""
    budget = error * sum(options[0].error for options in tried)
    chosen = cheapest(
        [[choice.error for choice in options] for options in tried],
        [[choice.bits for choice in options] for options in tried],
        budget,
    )
    return [options[index] for options, index in zip(tried, chosen, strict=True)]


def compress(
    changes: Sequence[Reals], left: Sequence[Reals], model: Model, error: float,
    compressor: Compressor,
) -> tuple[list[Coded], list[Reals]]:  # fmt: skip
    """Changes of a model and what the message before left out -> integers, and what is left."""
    tensors = model.layout.coded
    whole = [change + rest for change, rest in zip(changes, left, strict=True)]
    coded = compressor(whole, tensors, model.labels, error)
    rests = [
        np.subtract(wanted, approximation(sent, tensor), dtype=np.float32)
        for wanted, sent, tensor in zip(whole, coded, tensors, strict=True)
    ]
    return coded, rests


def steps_towards(
    values: Sequence[Reals], model: Model, error: float, compressor: Compressor
) -> tuple[list[Coded], list[Integers]]:
    """What brings a model nearer to flat values -> as it is sent, and as steps on its grid.

    What they leave is part of the next difference, so nothing is kept besides the model.
    """
    layout = model.layout
    lacking = [wanted - held for wanted, held in zip(values, model.values(), strict=True)]
    coded = compressor(lacking, layout.coded, model.labels, error)
    return coded, on_grid(coded, layout)


def on_grid(coded: Sequence[Coded], layout: Layout) -> list[Integers]:
    """Every coded tensor's change as steps on its grid. Raises CorruptPayload."""
    return [
        grid_steps(sent, tensor, exponent)
        for sent, tensor, exponent in zip(coded, layout.coded, layout.exponents, strict=True)
    ]
