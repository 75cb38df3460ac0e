"""`narrows vertical`: what it says, and that every user's error is one line."""

import csv
import subprocess
import sys

import pytest
from command_line import narrows


def vertical(*arguments: str) -> subprocess.CompletedProcess:
    return narrows("vertical", *arguments)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "a", "b", "label"])
        writer.writerows([f"r{i}", i, i % 3, ("no", "yes")[i % 2]] for i in range(20))
    return path


def test_help_says_who_does_what():
    shown = vertical("--help")
    assert shown.returncode == 0
    assert all(word in shown.stdout for word in ("serve", "join", "demo", "stay with their owners"))
    for command, told in {
        "serve": ("Sees no party's columns", "PROTECTS NOTHING", "--stragglers", "--privacy"),
        "join": ("a table that stays here", "--allow-plain", "--folder", "--model", "--tls"),
    }.items():
        shown = vertical(command, "--help")
        assert shown.returncode == 0
        text = " ".join(shown.stdout.split())  # lines end where the terminal does
        assert all(said in text for said in told)


def test_a_partys_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom narrows.cli import main\n"
        "sys.argv = ['narrows', 'vertical', 'join', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'ray', 'onnxruntime', 'grpc', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def in_one_line(done: subprocess.CompletedProcess, said: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("narrows: ")
    assert said in last


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--parties", "3", "--stragglers", "2"), "3 parties cannot do S=2"),
        (("--parties", "6", "--factors", "2", "--privacy", "2"), "one segment needs N >="),
        (("--parties", "5", "--wrong", "2"), "cannot do"),
        (("--parties", "5", "--wait", "drop"), "--wait drop on secret shares"),
        (("--parties", "5", "--plain", "--wait", "threshold"), "in the clear: expected all or"),
        (("--parties", "5", "--wait", "soon"), "--wait soon"),
        (("--parties", "5", "--hidden", "many"), "--hidden 'many'"),
        (("--parties", "5", "--hidden", "8,0"), "--hidden '8,0'"),
        (("--parties", "5", "--rate", "0"), "a learning rate of 0"),
        (("--parties", "5", "--data-limit", "-1"), "values up to -1"),
        (("--parties", "5", "--weight-limit", "nan"), "values up to nan"),
        (("--parties", "5", "--party-hidden", "4"), "4 hidden units at the parties"),
        (("--parties", "5", "--party", "bank"), "--parties 5 and 1 names of parties"),
        (("--parties", "5", "--host", "0.0.0.0"), "--insecure"),
        (("--parties", "5", "--label", "colour"), "no columns colour"),
        (("--parties", "5", "--id", "name"), "no columns name"),
    ],
)
def test_a_session_that_cannot_be_is_refused_before_it_begins(table, tmp_path, options, said):
    pytest.importorskip("ray", reason="needs the server extra")
    out = ("--out", str(tmp_path / "out"), "--port", "0")
    in_one_line(vertical("serve", str(table), *out, *options), said)
    assert not (tmp_path / "out").exists()


def test_where_there_is_no_session_to_predict_with_none_begins(table, tmp_path):
    """As a process: it gets as far as setting up its log."""
    pytest.importorskip("ray", reason="needs the server extra")
    command = [sys.executable, "-m", "narrows", "vertical", "serve", str(table), "--parties", "5"]
    done = subprocess.run(
        [*command, "--out", "out", "--port", "0", "--predict", "absent"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    in_one_line(done, "absent: no session to predict with")
    assert [path.name for path in tmp_path.iterdir()] == [table.name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--columns", "a,colour"), "no columns colour"),
        (("--columns", "a,id", "--id", "id"), "'id'"),
        (("--id", "label"), "identifiers must be different"),
        (("--coordinator", "nowhere"), "server 'nowhere': expected host:port"),
        (("--coordinator", "example.com:1"), "--insecure"),
        (("--model", "absent"), "absent"),
        (("--tls", "absent"), "absent"),
        (("--give-up-seconds", "0"), "give_up_s is 0"),
        (("--coordinator", "127.0.0.1:1", "--give-up-seconds", "0.2"), "no coordinator for 0.2 s"),
    ],
)
def test_a_party_that_cannot_join_says_why(table, tmp_path, options, said):
    folder = ("--folder", str(tmp_path / "kept"))
    in_one_line(vertical("join", str(table), "--name", "bank", *folder, *options), said)


@pytest.mark.parametrize("options", [("--parties", "2"), ("--parties", "x"), ()])
def test_flags_out_of_range_are_explained(table, options):
    done = vertical("serve", str(table), *options)
    assert done.returncode == 2
    assert "--parties" in done.stderr
