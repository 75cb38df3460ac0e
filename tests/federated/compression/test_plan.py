"""L-GreCo's programme beside trying everything."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("flwr", reason="Flower has no release for this Python")

from narrows.federated.compression.plan import cheapest

POSITIVE = st.floats(0, 100, allow_subnormal=False)
LAYERS = st.lists(
    st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=4), min_size=1, max_size=4
)


def total(rows, chosen) -> float:
    return sum(row[setting] for row, setting in zip(rows, chosen, strict=True))


@settings(max_examples=200, deadline=None)
@given(LAYERS, st.floats(0.1, 300))
def test_no_choice_within_the_budget_is_cheaper(layers, budget):
    errors = [[error for error, _ in layer] for layer in layers]
    bits = [[size for _, size in layer] for layer in layers]
    chosen = cheapest(errors, bits, budget)
    every = list(product(*(range(len(layer)) for layer in layers)))
    # Errors are rounded up to a ten-thousandth of the budget each.
    sure = [c for c in every if total(errors, c) <= budget * (1 - len(layers) / 10_000)]
    if not sure:
        assert total(errors, chosen) <= budget or chosen == [int(np.argmin(e)) for e in errors]
        return
    assert total(errors, chosen) <= budget * (1 + 1e-9)
    assert total(bits, chosen) <= min(total(bits, c) for c in sure) + 1e-9


def test_the_budget_goes_where_it_saves_most():
    # One layer gives a hundred bits for an error of 1, the other ten.
    assert cheapest([[0, 1], [0, 1]], [[100, 0], [10, 0]], 1.0) == [1, 0]


def test_a_budget_of_nothing_takes_the_least_error():
    assert cheapest([[3, 1, 2]], [[0, 9, 5]], 0.0) == [1]
    assert cheapest([[3, 1, 2]], [[0, 9, 5]], 0.5) == [1]
