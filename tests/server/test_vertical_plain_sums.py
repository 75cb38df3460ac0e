"""Sums in the clear: who is waited for, and what stands in for those that are late."""

import numpy as np
import pytest
from vertical_coordinator import Room, without_ray
from vertical_group import COLUMNS, Group, terms_of

pytest.importorskip("ray", reason="needs the server extra")

from narrows.errors import SharingError
from narrows.server.vertical.gradients import Gradients, Told
from narrows.server.vertical.plain import PlainSums
from narrows.server.vertical.standing import Standing
from narrows.server.vertical.waiting import KnownParts, rule


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch):
    without_ray(monkeypatch)


def plain_room(tmp_path) -> Room:
    group = Group(tmp_path, allow_plain=True)
    return Room(group.begin(terms_of(group.names, protected=False)))


def plain_sums(of: Room, waiting: str) -> PlainSums:
    terms = of.group.terms
    schedule = terms.schedule
    shape = len(terms.parties), schedule.segments, schedule.height, terms.width
    known = KnownParts(*shape) if waiting == "asynchronous" else None
    wanted = rule(waiting, len(COLUMNS), 0, 0.5)
    return PlainSums(of, terms, Standing(terms.parties), wanted, known)


def part_of(of: Room, party: int, step: int) -> np.ndarray:
    kept, schedule = of.group.parties[party].kept, of.group.terms.schedule
    x = schedule.arrange(kept.table())[:, schedule.step(step).rows]
    return x.reshape(-1, x.shape[2]) @ kept.learnt()[0]


def test_in_the_clear_all_are_waited_for_and_added_up(tmp_path):
    of = plain_room(tmp_path)
    sums = plain_sums(of, "all")
    expected = sum(part_of(of, n, 0) for n in range(5))
    np.testing.assert_allclose(sums.sums(1, 0, Gradients()), expected, atol=2e-3)
    of.way = lambda n, question, answer: None if n == 2 else answer
    assert sums.sums(2, 1, Gradients()) is None
    assert sums.wanted == 5


def test_dropped_parts_count_as_zero(tmp_path):
    of = plain_room(tmp_path)
    of.way = lambda n, question, answer: None if n == 2 else answer
    expected = sum(part_of(of, n, 0) for n in (0, 1, 3, 4))
    sums = plain_sums(of, "drop")
    np.testing.assert_allclose(sums.sums(1, 0, Gradients()), expected, atol=2e-3)
    assert sums.wanted == 1


def test_last_known_parts_stand_in_for_those_that_are_late(tmp_path):
    of = plain_room(tmp_path)
    sums = plain_sums(of, "asynchronous")
    sums.sums(1, 0, Gradients())
    then = part_of(of, 2, 0)
    of.late = lambda party: party == 2
    told = of.group.gradient(1, 0)
    gradients = Gradients([Told(told, frozenset(range(5)))])
    got = sums.sums(2, 0, gradients)  # the same records once more
    expected = then + sum(part_of(of, n, 0) for n in (0, 1, 3, 4))
    np.testing.assert_allclose(got, expected, atol=2e-3)


@pytest.mark.parametrize("values", [b"", b"\0\0\0", b"\xff" * 48])
def test_a_part_that_is_none_ends_a_session_in_the_clear_by_its_senders_name(tmp_path, values):
    of = plain_room(tmp_path)

    def way(n, question, answer):
        if n == 3:
            answer.embedding.values = values
        return answer

    of.way = way
    with pytest.raises(SharingError, match="party-3: "):
        plain_sums(of, "all").sums(1, 0, Gradients())
