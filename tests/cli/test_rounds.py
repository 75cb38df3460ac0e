"""`narrows rounds`: what is refused at once, and how a journal is told."""

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("flwr", reason="needs the federated extra")

from narrows.cli import app
from narrows.cli._rounds_run import samples
from narrows.errors import ConfigError
from narrows.federated.journal import Journal, read_journal

POINTS = [{"packet_bytes": 500.0, "accuracy": 0.8, "agreement": 0.9}]
FIGURES = {"nodes": 2, "photographs": 10, "unsplit_accuracy": 0.8, "points": POINTS}


@pytest.fixture
def journal(tmp_path):
    told = Journal(tmp_path / "new.rounds")
    told.write("began", clients=3, rounds=2, recipe="encoder", bundle="0" * 64)
    silent = [{"node": "7", "why": "no answer"}]
    for number, failed in ((1, []), (2, silent)):
        told.write(
            "round", number=number, asked=3, answered=3 - len(failed), failed=failed,
            bytes_down=2000, bytes_up=1000, seconds=1.5, metrics={"loss": 2.0 / number},
        )  # fmt: skip
    return tmp_path / "new"


def test_a_journal_is_told_while_it_grows_and_at_its_end(journal):
    told = CliRunner().invoke(app, ["rounds", "status", str(journal)])
    assert told.exit_code == 0
    assert "2 of 3" in told.stdout
    assert "before" not in told.stdout
    with open(journal.with_name("new.rounds") / "rounds.jsonl", "a") as file:
        line = {"event": "ended", "before": FIGURES, "after": FIGURES, "bundle": "1" * 64}
        file.write(json.dumps(line) + "\n")
    assert "80.0 %" in CliRunner().invoke(app, ["rounds", "status", str(journal)]).stdout
    lines = CliRunner().invoke(app, ["rounds", "status", str(journal), "--json"]).stdout
    assert [json.loads(line)["event"] for line in lines.splitlines()] == [
        "began", "round", "round", "ended",
    ]  # fmt: skip


def test_the_console_is_shown_sums_and_the_last_round(journal):
    told = {
        name: value for name, _, value in samples(read_journal(journal.with_name("new.rounds")))
    }
    expected = {"rounds": 2, "clients": 3, "answered": 2, "bytes_up_total": 2000, "failed_total": 1}
    assert {name: told[f"narrows_federated_{name}"] for name in expected} == expected
    assert told["narrows_federated_loss"] == 1.0
    assert samples([])  # before anything has begun


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "simulated clients need --data"),
        (["--recipe", "none"], "no recipe 'none'; shipped: all, encoder, heads"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(tmp_path, options, message):
    command = ["rounds", "start", str(tmp_path), "--out", str(tmp_path / "new"), *options]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, ConfigError)
    assert message in str(refused.exception)
    assert not (tmp_path / "new.rounds").exists()


def test_no_journal_is_an_error_that_says_so(tmp_path):
    refused = CliRunner().invoke(app, ["rounds", "status", str(tmp_path / "nothing")])
    assert isinstance(refused.exception, ConfigError)
