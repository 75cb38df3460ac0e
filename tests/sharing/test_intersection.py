"""Common records: found exactly, in one order for all, and no more told than is said."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError, UnusableSet
from narrows.sharing.intersection import (
    POINT_BYTES,
    PRIME,
    Blinder,
    hash_to_curve,
    hops,
    intersect,
    legendre,
)
from narrows.sharing.randomness import permutation

CONTEXT = b"session"


def common_rows(tables: list[list[str]]) -> list[np.ndarray]:
    """The whole protocol in one room: each member's rows of the common records."""
    members = [Blinder(CONTEXT) for _ in tables]
    sets = []
    for owner, ids in enumerate(tables):
        points = members[owner].first(ids)
        for hop in hops(owner, len(tables)):
            points = members[hop].blind(owner, points)
        sets.append(points)
    rows = []
    for owner, positions in enumerate(intersect(sets)):
        for hop in reversed(hops(owner, len(tables))):
            positions = members[hop].back(owner, positions)
        rows.append(members[owner].rows(positions))
    return rows


def split(points: bytes) -> list[bytes]:
    return [points[i : i + POINT_BYTES] for i in range(0, len(points), POINT_BYTES)]


def on_curve(u: bytes) -> bool:
    """By Euler's criterion."""
    x = int.from_bytes(u, "little")
    return pow(x**3 + 486662 * x**2 + x, (PRIME - 1) // 2, PRIME) == 1


@settings(deadline=None, max_examples=40)
@given(
    tables=st.lists(
        st.lists(st.integers(0, 30).map(str), unique=True, max_size=25), min_size=2, max_size=5
    )
)
def test_the_common_records_are_found_and_all_have_them_in_one_order(tables):
    found = [
        [ids[row] for row in rows] for ids, rows in zip(tables, common_rows(tables), strict=True)
    ]
    assert set(found[0]) == set.intersection(*map(set, tables))
    assert all(ids == found[0] for ids in found)
    assert len(found[0]) == len(set(found[0]))


@pytest.mark.parametrize("members", [2, 3, 6, 11])
def test_full_and_empty_overlap(members):
    ids = [f"record {i}" for i in range(20)]
    rows = common_rows([ids[i:] + ids[:i] for i in range(members)])
    assert all(sorted(row) == list(range(20)) for row in rows)
    apart = common_rows([[f"{m} {i}" for i in range(5)] for m in range(members)])
    assert all(row.tolist() == [] for row in apart)


def test_the_common_order_is_that_of_the_blinded_values():
    points = [bytes([value]) * POINT_BYTES for value in (200, 3, 90, 7, 150)]
    first, second = intersect([b"".join(points), b"".join(reversed(points[:4]))])
    assert first.tolist() == [1, 3, 2, 0]
    assert second.tolist() == [2, 0, 1, 3]


def test_the_common_order_is_another_with_each_session():
    ids = [str(i) for i in range(20)]
    assert len({tuple(common_rows([ids, ids])[0]) for _ in range(5)}) == 5


@pytest.mark.parametrize("members", [2, 5])
def test_every_set_visits_all_others_once_and_ends_before_its_owner(members):
    for owner in range(members):
        assert sorted([owner, *hops(owner, members)]) == list(range(members))
    assert {hops(owner, members)[-1] for owner in range(members)} == set(range(members))


@settings(deadline=None, max_examples=20)
@given(ids=st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=8))
def test_blinding_commutes(ids):
    points = b"".join(hash_to_curve(CONTEXT, text) for text in ids)
    a, b = Blinder(CONTEXT), Blinder(CONTEXT)
    one = b.blind(0, a.blind(0, points))
    other = a.blind(1, b.blind(1, points))
    assert Counter(split(one)) == Counter(split(other))


def test_equal_ids_under_different_scalars_are_not_equal():
    ids = [str(i) for i in range(50)]
    a, b, c = (Blinder(CONTEXT) for _ in range(3))
    of_a, of_b = a.first(ids), b.first(ids)
    assert not set(split(of_a)) & set(split(of_b))
    assert not set(split(c.blind(0, of_a))) & set(split(c.blind(1, of_b)))
    assert not set(split(Blinder(CONTEXT).first(ids))) & set(split(of_a))


def test_equal_ids_of_two_sessions_are_different_points():
    assert hash_to_curve(b"one", "record") != hash_to_curve(b"two", "record")
    assert hash_to_curve(b"one", "two") != hash_to_curve(b"onet", "wo")


def test_a_hop_returns_the_points_in_an_order_that_only_it_can_undo():
    ids = [str(i) for i in range(30)]
    points = b"".join(hash_to_curve(CONTEXT, text) for text in ids)
    hop = Blinder(CONTEXT)
    blinded = split(hop.blind(0, points))
    came_from = hop.back(0, np.arange(30))
    assert came_from.tolist() != list(range(30))
    for position, origin in enumerate(came_from):
        alone = hop.blind(100 + position, split(points)[origin])
        assert blinded[position] == alone


def chi_square(counts: Counter, cells: int) -> float:
    expected = counts.total() / cells
    seen = list(counts.values()) + [0] * (cells - len(counts))
    return sum((count - expected) ** 2 / expected for count in seen)


# With 5 degrees of freedom a sound build is beyond 35.9 once in a million runs.
LARGEST_CHI_SQUARE = 35.9


def test_orders_are_uniform():
    orders = Counter(tuple(permutation(3).tolist()) for _ in range(6000))
    assert chi_square(orders, 6) < LARGEST_CHI_SQUARE
    assert permutation(0).tolist() == []
    assert sorted(permutation(1000)) == list(range(1000))


def test_owners_and_hops_put_sets_into_uniform_orders():
    """Nobody's place in a set that left a member says which row or place it had."""
    ids, everything = ["a", "b", "c"], np.arange(3)
    points = b"".join(hash_to_curve(CONTEXT, text) for text in ids)
    owners, passed = Counter(), Counter()
    for _ in range(1200):
        member = Blinder(CONTEXT)
        member.first(ids)
        member.blind(1, points)
        owners[tuple(member.rows(everything))] += 1
        passed[tuple(member.back(1, everything))] += 1
    assert chi_square(owners, 6) < LARGEST_CHI_SQUARE
    assert chi_square(passed, 6) < LARGEST_CHI_SQUARE


def test_no_point_is_on_the_twist():
    ids = [str(i) for i in range(200)]
    assert all(on_curve(hash_to_curve(CONTEXT, text)) for text in ids)
    once = Blinder(CONTEXT).first(ids)
    assert all(on_curve(u) for u in split(once) + split(Blinder(CONTEXT).blind(0, once)))


@given(st.integers(0, 2**256))
def test_the_symbol_is_eulers(x):
    assert legendre(x) % PRIME == pow(x, (PRIME - 1) // 2, PRIME)


@pytest.mark.parametrize(("x", "symbol"), [(0, 0), (PRIME, 0), (1, 1), (4, 1), (2, -1), (-1, 1)])
def test_the_symbol_of_small_numbers(x, symbol):
    assert legendre(x) == symbol


def test_the_hash_is_the_documented_one():
    """Made by hashlib and Euler's criterion; other programs of a session must find the same."""
    assert (
        hash_to_curve(b"session", "record 1").hex()
        == "16173a792e83277b1069ad496a864792131d5c7723c94c816436ee36d9a6de3f"
    )
    assert (
        hash_to_curve(b"", "\u017elu\u0165ou\u010dk\u00fd").hex()
        == "e9200183609d1a07445f66627fabf24919b43cde9f1631e132137aeb9c43900e"
    )


def test_white_space_around_an_id_does_not_count_and_all_else_does():
    assert hash_to_curve(CONTEXT, " 17\n") == hash_to_curve(CONTEXT, "17")
    different = ["a b", "ab", "Ab", "017", "17", "\u00e9", "e\u0301"]
    assert len({hash_to_curve(CONTEXT, text) for text in different}) == len(different)


def test_repeated_ids_are_refused_by_row_and_not_by_name():
    with pytest.raises(ConfigError, match=r"2 of 5 record ids .* in row 2, counted") as refused:
        Blinder(CONTEXT).first(["secret", "b", " secret", "c", "b "])
    assert "secret" not in str(refused.value)


def test_an_empty_id_is_refused():
    with pytest.raises(ConfigError, match="row 1, counted from 0, has an empty"):
        Blinder(CONTEXT).first(["a", "  ", "b"])


@pytest.mark.parametrize("length", [1, 31, 33, 95])
def test_what_is_not_whole_points_is_refused(length):
    with pytest.raises(UnusableSet, match=f"member 3: {length} bytes"):
        Blinder(CONTEXT).blind(3, bytes(length))
    with pytest.raises(UnusableSet, match=f"member 1: {length} bytes"):
        intersect([b"", bytes(length)])


# Of order 2, 4, 4 (on the twist), 2 (not reduced), 8, 8: Bernstein, "Curve25519" (2006).
SMALL = [
    0,
    1,
    PRIME - 1,
    PRIME,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]


@pytest.mark.parametrize("u", SMALL)
def test_points_of_small_order_are_refused(u):
    good = hash_to_curve(CONTEXT, "a")
    member = Blinder(CONTEXT)
    with pytest.raises(UnusableSet, match="member 2: holds a point of small order"):
        member.blind(2, good + u.to_bytes(32, "little"))
    assert len(member.blind(2, good)) == POINT_BYTES  # what was refused is not held against it


def test_a_set_is_blinded_once():
    member = Blinder(CONTEXT)
    points = member.blind(2, hash_to_curve(CONTEXT, "a"))
    with pytest.raises(UnusableSet, match="member 2: came twice"):
        member.blind(2, points)


def test_a_point_twice_in_one_set_is_refused():
    points = hash_to_curve(CONTEXT, "a")
    with pytest.raises(UnusableSet, match="member 1: 1 of 2 points"):
        intersect([points, points * 2])


@pytest.mark.parametrize("positions", [[3], [-1], [0, 0], [0, 1, 2, 3]])
def test_positions_that_are_not_in_the_set_are_refused(positions):
    member = Blinder(CONTEXT)
    member.blind(2, member.first(["a", "b", "c"]))
    for undo in (lambda p: member.back(2, p), member.rows):
        with pytest.raises(UnusableSet, match="not all different ones of 3"):
            undo(np.array(positions))
    with pytest.raises(UnusableSet, match="did not come by here"):
        member.back(1, np.array([0]))
