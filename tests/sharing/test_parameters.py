"""Thresholds, feasible codes and what is refused."""

import pytest

from narrows.errors import ConfigError
from narrows.sharing.code import LagrangeCode
from narrows.sharing.field import MERSENNE_31, MERSENNE_61
from narrows.sharing.parameters import SharingParameters, feasible_codes, widest_code

# N, S: the widest K and its R for (D, T) = (2, 1), (2, 2), (4, 1), (4, 2); None where impossible
TABLE = {
    (6, 1): [(2, 5), (1, 5), (1, 5), None],
    (8, 1): [(3, 7), (2, 7), (1, 5), None],
    (10, 2): [(3, 7), (2, 7), (1, 5), None],
    (16, 3): [(6, 13), (5, 13), (3, 13), (2, 13)],
    (28, 5): [(11, 23), (10, 23), (5, 21), (4, 21)],
}


@pytest.mark.parametrize(("parties", "stragglers"), TABLE)
def test_the_table_of_feasible_codes(parties, stragglers):
    kinds = [(2, 1), (2, 2), (4, 1), (4, 2)]
    for (degree, privacy), expected in zip(kinds, TABLE[parties, stragglers], strict=True):
        if expected is None:
            with pytest.raises(ConfigError, match="needs N >= D\\*T\\+1\\+S\\+2A = "):
                widest_code(parties, stragglers, privacy, degree)
        else:
            code = widest_code(parties, stragglers, privacy, degree)
            assert (code.segments, code.recovery_threshold) == expected


@pytest.mark.parametrize("parties", range(2, 20))
def test_every_feasible_code_tolerates_its_stragglers_and_none_is_wider(parties):
    rows = {(s, c.privacy, c.degree): c for s, c in feasible_codes(parties)}
    for (stragglers, privacy, degree), code in rows.items():
        assert code.stragglers >= stragglers
        assert degree * (code.segments + privacy) + 1 > parties - stragglers
    for degree in (2, 4):
        for privacy in range(1, parties):
            for stragglers in range(parties):
                possible = degree * privacy + 1 + stragglers <= parties
                assert ((stragglers, privacy, degree) in rows) == possible


def test_slack_for_wrong_responses_takes_two_parties_each():
    code = widest_code(16, 3, 1, 2, wrong=2)
    assert (code.segments, code.recovery_threshold) == (4, 9)
    assert code.correctable(16 - 3) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((6, 3, 1, 2), r"R = D\(K\+T-1\)\+1 = 2\*\(3\+1-1\)\+1 = 7 .* N = 6"),
        ((6, 0, 1, 2), "segments must be at least 1, not 0"),
        ((6, 1, 0, 2), "privacy must be at least 1, not 0"),
        ((6, 1, 1, 0), "degree must be at least 1"),
        ((0, 1, 1, 2), "parties must be at least 1"),
        ((5, 1, 1, 2, 7), r"N\+K\+T = 7 distinct non-zero points need a prime above 7"),
        ((5, 1, 1, 2, 15), "prime 15"),
    ],
)
def test_impossible_parameters_are_refused_by_name(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SharingParameters(*arguments)


@pytest.mark.parametrize("prime", [MERSENNE_61, MERSENNE_31, 101])
def test_all_points_of_a_code_are_distinct_and_not_zero(prime):
    code = LagrangeCode(SharingParameters(50, 20, 3, 2, prime))
    points = [*code.secret_points, *code.mask_points, *code.evaluation_points]
    assert len({int(x) for x in points}) == 73
    assert 0 < min(points) <= max(points) < prime
