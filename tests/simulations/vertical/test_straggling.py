import csv
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from typer.testing import CliRunner

from narrows.cli import app
from narrows.errors import ConfigError
from narrows.simulations.vertical.straggling import METHODS

runner = CliRunner()
QUICK = ["bench", "straggling", "--records", "100", "--epochs", "2", "--seeds", "1"]


def run(*options):
    return runner.invoke(app, [*QUICK, *options], catch_exceptions=False)


def test_every_way_is_measured_at_every_number_of_parties(tmp_path):
    written = tmp_path / "rows.csv"
    found = run("--parties", "6,8", "--ways", "some,dying", "--json", "--csv", str(written))
    rows = json.loads(found.stdout)["rows"]
    assert len(rows) == 2 * (1 + 2 * len(METHODS))
    assert {(row["parties"], row["recovery_threshold"]) for row in rows} == {(6, 5), (8, 7)}
    accuracies = [row["accuracy"] for row in rows if row["accuracy"] is not None]
    assert all(0.3 <= accuracy <= 1 for accuracy in accuracies)
    with written.open() as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == [row["method"] for row in rows]


def test_the_threshold_learns_what_waiting_for_all_does_in_less_time():
    rows = json.loads(run("--json").stdout)["rows"]
    by_name = {row["method"]: row for row in rows}
    ours, everybody = by_name["shares"], by_name["shares, all"]
    assert [p["accuracy"] for p in ours["curve"]] == [p["accuracy"] for p in everybody["curve"]]
    assert ours["virtual_s"] < everybody["virtual_s"]


def test_a_table_and_a_picture_can_be_had(tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "plot.png"
    found = run("--plot", str(picture))
    assert "breast_cancer: 100 records, 19 held out; N = 10, S = 2, R = 7, K = 3" in found.stdout
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sets", "iris"], "expected some of breast_cancer"),
        (["--ways", "often"], "expected some of none"),
        (["--parties", "ten"], "expected numbers"),
        (["--parties", "2"], "2 parties cannot do S=1"),
        (["--parties", "31"], "30 columns"),
        (["--sets", "mfeat"], "--data must name the folder"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        run(*options)
