"""A round of parties in groups: its sums are right, it costs what the formulas count."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("ray", reason="needs the server extra")

from narrows.errors import ConfigError
from narrows.sharing import field
from narrows.sharing.decoding import Decoder
from narrows.sharing.fixed_point import residues
from narrows.simulations.vertical import scale
from narrows.simulations.vertical.group import Group
from narrows.simulations.vertical.scale import cost, run_parties_bench, session

N, GROUPS = 12, 3
CUTS = [0, 4, 8, 12]


@pytest.fixture
def multiplied(monkeypatch):
    """Every field product's multiply-adds, as they come."""
    counts: list[int] = []
    product = field.matmul

    def counting(a, b, p):
        counts.append(a.shape[0] * a.shape[1] * b.shape[1])
        return product(a, b, p)

    monkeypatch.setattr(field, "matmul", counting)
    return counts


@pytest.fixture
def played():
    """Groups in this process, and what each is sent: tables taken, a round's blocks waiting."""
    terms = session(N)
    groups = [Group(index) for index in range(GROUPS)]
    for group in groups:
        group.begin(terms, CUTS)
    tables = [group.share_tables() for group in groups]
    for i, group in enumerate(groups):
        group.take_tables(*(blocks[i] for blocks in tables))
    return terms, groups


def test_groups_of_parties_make_the_sums_in_the_clear(played):
    terms, groups = played
    rows = terms.schedule.step(0).rows
    sent = [group.share_round(len(rows)) for group in groups]
    answers = [group.respond(rows, *(s[i] for s in sent))[0] for i, group in enumerate(groups)]
    responses = dict(enumerate(np.concatenate(answers)))
    decoded = Decoder(terms.code).decode(responses, (len(rows), terms.width))
    assert decoded.surplus == terms.bounds.parameters.stragglers > 0
    clear = residues(scale._in_the_clear(terms), terms.bounds.parameters.prime)
    assert np.array_equal(decoded.sums, clear)


def test_a_party_multiplies_as_often_as_the_formulas_say(played, multiplied):
    terms, groups = played
    rows = terms.schedule.step(0).rows
    expected, members = cost(terms, len(rows)), len(groups[0].members)
    groups[0].share_tables()
    assert sum(multiplied) == members * expected.table
    multiplied.clear()
    sent = [group.share_round(len(rows)) for group in groups]
    assert sum(multiplied) == N * expected.share
    multiplied.clear()
    groups[0].respond(rows, *(s[0] for s in sent))
    assert sum(multiplied) == members * expected.respond


@pytest.mark.parametrize("surplus", [0, 1])
def test_the_server_multiplies_as_often_as_the_formula_says(multiplied, surplus):
    terms = session(N)
    code, shape = terms.bounds.parameters, (scale.ROWS, terms.width)
    nothing = np.zeros(shape, np.uint64)
    responses = dict.fromkeys(range(code.recovery_threshold + surplus), nothing)
    decoder = Decoder(terms.code)
    decoder.decode(responses, shape)
    assert sum(multiplied) == cost(terms, scale.ROWS, surplus).decode


def test_a_round_of_groups_that_differ_in_size_is_refused():
    with pytest.raises(ConfigError, match="equal size"):
        run_parties_bench([12], 5, True)


@pytest.mark.parametrize("parties", scale.PARTIES)
def test_every_session_of_the_bench_is_the_widest_for_its_silent_parties(parties):
    code = session(parties).bounds.parameters
    assert code.stragglers >= parties // scale.SILENT
    assert code.recovery_threshold + code.degree > parties - parties // scale.SILENT


def test_twelve_parties_in_three_processes_on_ray(tmp_path):
    """In a process of its own: this one's Ray knows nothing of tokens."""
    command = [sys.executable, "-m", "narrows", "bench", "parties", "--parties", "12"]
    plot = tmp_path / "plot.png"
    result = subprocess.run(
        [*command, "--groups", "3", "--json", "--plot", plot],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["segments"], row["recovery_threshold"], row["answered"]) == (5, 11, 12)
    assert row["bytes"]["relayed"] == row["formula"]["relayed"]
    assert row["bytes"]["uploaded"] == row["formula"]["uploaded"]
    assert min(row["party_s"].values()) > 0
    assert plot.stat().st_size
