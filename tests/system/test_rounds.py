"""Federated rounds of real processes: a SuperLink, and SuperNodes of which one is killed."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="needs the federated extra")
pytest.importorskip("torch", reason="needs the server extra")

from flower_processes import federation, nodes
from rounds_bundle import write_learning_bundle, write_photographs, write_rounds_recipe
from vertical_processes import until

from narrows.codec.manifest import Manifest
from narrows.codec.signature import verify_signature
from narrows.federated.journal import read_journal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NODES, ROUNDS = 4, 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    write_learning_bundle(folder / "bundle")
    write_photographs(folder / "photographs", 80)
    write_rounds_recipe(folder / "recipe.toml")
    return folder


def start(place: Path, out: Path, *options: str) -> list[str]:
    command = [sys.executable, "-m", "narrows", "rounds", "start", str(place / "bundle")]
    command += ["--out", str(out), "--recipe", str(place / "recipe.toml"), "--json"]
    command += ["--rounds", str(ROUNDS), "--key", str(place / "key.pem"), *options]
    return [*command, "--data", str(place / "photographs"), "--partition", "dirichlet:1.0"]


def test_a_deployment_with_tls_does_what_a_simulation_does_and_outlives_a_node(place, tmp_path):
    simulated = subprocess.run(
        start(place, tmp_path / "simulated", "--clients", str(NODES)),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert simulated.returncode == 0, simulated.stderr
    expected = [json.loads(line) for line in simulated.stdout.splitlines()]
    out = tmp_path / "deployed"
    configs = [f"partition-id={n} num-partitions={NODES}" for n in range(NODES)]
    with federation(tmp_path / "flower") as link, nodes(link, configs) as started:
        options = ("--superlink", link.address, "--root-certificates", str(link.certificate))
        options += ("--least", "3", "--timeout-seconds", "90")
        until(lambda: link.flwr("supernode", "list").count("online") == NODES, "nodes online")
        with subprocess.Popen(
            start(place, out, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            journal = out.with_name("deployed.rounds")
            until(lambda: any(e["event"] == "round" for e in read_journal(journal)), "a round")
            started[-1].send_signal(signal.SIGKILL)
            told, errors = process.communicate(timeout=400)
            assert process.returncode == 0, errors
    events = [json.loads(line) for line in told.splitlines()]
    assert [e["event"] for e in events] == ["began", "round", "round", "ended"]
    assert [(e["answered"], e["asked"]) for e in events[1:-1]] in (
        [(4, 4), (3, 4)],
        [(4, 4), (3, 3)],
    )
    assert events[-1]["before"] == expected[-1]["before"]
    assert events[1]["metrics"]["loss"] == pytest.approx(expected[1]["metrics"]["loss"], rel=0.02)
    manifest = Manifest.load(out)
    manifest.verify_files(out)
    verify_signature(out, place / "key.pem.pub")
    assert manifest.provenance["rounds"][0]["clients"] == NODES
    assert manifest.digest != Manifest.load(place / "bundle").digest
