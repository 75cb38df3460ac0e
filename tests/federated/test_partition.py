"""Partitions: every row is dealt once, as skewed as was asked, the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.federated.partition import by_group, dirichlet, iid


def dealt_once(parts, records: int) -> bool:
    return sorted(np.concatenate(parts).tolist()) == list(range(records))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=400),
    st.integers(1, 20),
    st.sampled_from([0.01, 0.1, 1.0, 100.0]),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_dirichlet_deals_every_row_once_and_each_client_the_least(
    labels, clients, alpha, least, seed
):
    if len(labels) < clients * max(1, least):
        with pytest.raises(ConfigError, match="too few"):
            dirichlet(labels, clients, alpha, seed, least)
        return
    parts = dirichlet(labels, clients, alpha, seed, least)
    again = dirichlet(labels, clients, alpha, seed, least)
    assert len(parts) == clients
    assert dealt_once(parts, len(labels))
    assert min(len(part) for part in parts) >= least
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))


def skew(parts, labels: np.ndarray) -> float:
    """How much of a client's rows have its most frequent label, on average."""
    return float(np.mean([np.bincount(labels[p]).max() / len(p) for p in parts if len(p)]))


def test_a_small_alpha_gives_few_labels_a_client():
    labels = np.tile(np.arange(10), 600)
    assert skew(dirichlet(labels, 20, 0.1, 1), labels) > 0.5
    assert skew(dirichlet(labels, 20, 1e4, 1), labels) < 0.15
    assert skew(iid(len(labels), 20, 1), labels) < 0.2


def test_another_seed_deals_otherwise():
    labels = np.tile(np.arange(10), 60)
    first, second = dirichlet(labels, 5, 0.5, 1), dirichlet(labels, 5, 0.5, 2)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first, second, strict=True))


def test_a_partition_does_not_depend_on_the_machine():
    assert [part.tolist() for part in dirichlet([0, 1, 0, 1, 0, 1, 0, 1], 3, 0.5, 7)] == [
        [0, 2, 3, 6, 7],
        [4],
        [1, 5],
    ]


@given(st.integers(1, 200), st.integers(1, 20))
def test_iid_parts_are_equal_but_for_one(records, clients):
    if records < clients:
        with pytest.raises(ConfigError, match="too few"):
            iid(records, clients)
        return
    parts = iid(records, clients)
    assert dealt_once(parts, records)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.lists(st.sampled_from(["photo", "art", "cartoon", "sketch"]), min_size=1), st.data())
def test_a_group_stays_with_one_client(groups, data):
    clients = data.draw(st.integers(1, len(set(groups))))
    parts = by_group(groups, clients)
    assert dealt_once(parts, len(groups))
    held = [{groups[row] for row in part} for part in parts]
    assert sum(map(len, held)) == len(set(groups))
    assert all(held)


def test_as_many_clients_as_groups_follow_the_groups_order():
    assert [p.tolist() for p in by_group([2, 0, 1, 0], 3)] == [[1, 3], [2], [0]]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: dirichlet([[0]], 1, 1.0),
        lambda: dirichlet([0], 1, 0.0),
        lambda: dirichlet([0], 1, float("nan")),
        lambda: dirichlet([0], 0, 1.0),
        lambda: by_group([0, 0], 2),
        lambda: by_group([[0]], 1),
        lambda: iid(3, 4),
    ],
)
def test_what_cannot_be_dealt_is_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()
