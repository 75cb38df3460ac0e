"""Terms are one text for one session, and nobody can be made to agree to impossible ones."""

import json
from dataclasses import replace

import pytest

from narrows.errors import ConfigError
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.fixed_point import FixedPoint
from narrows.sharing.parameters import SharingParameters
from narrows.sharing.schedule import Schedule
from narrows.sharing.terms import Learning, Terms, summary

KIND = FixedPoint(16, 8.0)
TERMS = Terms(
    session="0123456789abcdef" * 2,
    parties=("bank", "clinic", "insurer", "shop", "school", "tower"),
    bounds=SessionBounds(SharingParameters(6, 2, 1, 2), KIND, KIND, (3, 2, 4, 1, 1, 2)),
    width=4,
    schedule=Schedule(40, 8, 2, 5, 3, seed=9),
)


def altered(**fields) -> bytes:
    """The terms with some fields of their JSON changed; `bounds__factors=2` is one inside."""
    told = json.loads(TERMS.encoded)
    for path, value in fields.items():
        *outer, last = path.split("__")
        place = told
        for name in outer:
            place = place[name]
        place[last] = value
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def test_what_is_decoded_is_what_was_encoded():
    assert altered() == TERMS.encoded
    decoded = Terms.decode(TERMS.encoded)
    assert decoded == TERMS
    assert decoded.digest == TERMS.digest


def test_the_digest_is_of_every_field():
    others = [
        replace(TERMS, session="f" * 32),
        replace(TERMS, parties=("a", "b", "c", "d", "e", "f")),
        replace(TERMS, bounds=replace(TERMS.bounds, columns=(2, 3, 4, 1, 1, 2))),
        replace(TERMS, bounds=replace(TERMS.bounds, data=FixedPoint(15, 8.0))),
        replace(TERMS, bounds=replace(TERMS.bounds, weights=FixedPoint(16, 4.0))),
        replace(TERMS, width=5),
        replace(TERMS, schedule=replace(TERMS.schedule, seed=8)),
        replace(TERMS, learning=Learning(0.02)),
        replace(TERMS, protected=False),
    ]
    assert len({terms.digest for terms in (TERMS, *others)}) == 1 + len(others)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        TERMS.encoded[:-1],
        TERMS.encoded + b" ",
        json.dumps(json.loads(TERMS.encoded)).encode(),  # other white space
        TERMS.encoded.replace(b'"width":4', b'"width":4.0'),
        TERMS.encoded.replace(b'"width":4', b'"width":"4"'),
        TERMS.encoded.replace(b'"width":4', b'"note":1,"width":4'),
        TERMS.encoded.replace(b'"rate":0.01', b'"rate":1e-2'),
        TERMS.encoded.replace(b'"rate":0.01', b'"rate":1e999'),
        TERMS.encoded.replace(b'"rate":0.01', b'"rate":NaN'),
    ],
)
def test_another_text_than_the_canonical_one_is_refused(text):
    with pytest.raises(ConfigError, match="a session's terms"):
        Terms.decode(text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bounds__columns": [2**30] * 6, "bounds__factors": 1}, "must be below p/2"),
        ({"bounds__data__limit": 1e9}, "must be below p/2"),
        ({"bounds__data__scale_bits": 61}, "choose other scale bits"),
        ({"bounds__factors": 2}, "has degree 4"),
        ({"bounds__columns": [1, 1, 1, 1, 1]}, "6 parties with 5 counts of columns"),
        ({"bounds__columns": [1, 1, 1, 1, 1, 0]}, "expected at least one"),
        ({"bounds__parameters__segments": 3}, "recovery threshold"),
        ({"bounds__parameters__prime": 2**61 + 1}, "prime"),
        ({"parties": ["a", "a", "c", "d", "e", "f"]}, "different names"),
        ({"schedule__segments": 1}, "a schedule of 1 segments in a code of K = 2"),
        ({"schedule__held_out": 40}, "none is left to learn from"),
        ({"width": 0}, "0 sums a record"),
        ({"hidden": 8}, "shares only allow products"),
        ({"hidden": -8, "protected": False}, "-8 hidden units"),
        ({"wrong": 1}, "R \\+ 2A = 7 responses"),
        ({"wrong": -1}, "A = -1"),
        ({"learning__rate": 0.0}, "a learning rate of 0"),
    ],
)
def test_terms_that_do_not_hold_together_are_refused_where_they_arrive(fields, said):
    with pytest.raises(ConfigError, match=said):
        Terms.decode(altered(**fields))


def test_responses_are_bound_to_the_session_the_round_and_everybodys_versions():
    other = replace(TERMS, session="f" * 32)
    digests = [
        TERMS.versions_digest(3, [3] * 6),
        TERMS.versions_digest(4, [3] * 6),
        TERMS.versions_digest(3, [3] * 5 + [2]),
        TERMS.versions_digest(3, [2, *[3] * 5]),
        TERMS.versions_digest(33, [3] * 5),
        other.versions_digest(3, [3] * 6),
    ]
    assert len(set(digests)) == len(digests)


def test_the_summary_counts_as_stragglers_those_that_no_round_waits_for():
    roomy = replace(
        TERMS,
        parties=(*TERMS.parties, "well", "yard"),
        bounds=SessionBounds(SharingParameters(8, 2, 1, 2), KIND, KIND, (1,) * 8),
        wrong=1,
    )
    assert roomy.wanted == 7
    assert summary(roomy)["stragglers"] == 1
    assert summary(TERMS)["stragglers"] == 1
