"""The serving benches on a tiny bundle: what they count adds up, and what they need is said."""

import json

import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.errors import ConfigError
from narrows.simulations.bench.faults import run_faults_bench
from narrows.simulations.bench.serve import Asked, run_serve_bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def asked(bundle, scenario: str) -> Asked:
    return Asked(
        bundle, scenario, "local", seconds=3.0, streams=3, window=4, rate=60.0, deadline_ms=0,
        point=0, max_batch=4, threads=1,
    )  # fmt: skip


@pytest.mark.parametrize("scenario", ["single", "server"])
def test_a_scenario(tiny_bundle, capsys, scenario):
    run_serve_bench(asked(tiny_bundle, scenario), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["sent"] == found["answered"] + found["refused"] + found["failed"]
    assert sum(found["by_stream"]) == found["answered"] > 0
    assert 0 < found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"]
    assert 0 < found["overhead_p50_ms"] <= found["p50_ms"]
    assert found["echo_p50_ms"] > 0
    assert found["bare_tail_throughput"] > 0
    assert found["loop_ms_per_frame"] > 0
    assert found["rss_mb_start"] > 0


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_an_outage(tiny_bundle, capsys, fault):
    run_faults_bench(fault, tiny_bundle, 1, 1.0, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["sent"] == found["answered"] > 0
    assert found["lost"] == found["failed"] == 0
    assert found["resent"] > 0
    assert 0 < found["noticed_p50_ms"] < 1e3 * found["outage_s"]
    assert found["recovered_p50_ms"] > 0


def test_a_storm(tiny_bundle, capsys):
    run_faults_bench("storm", tiny_bundle, 1, 2.0, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert sum(found["outcomes"].values()) == found["sent"] > 0
    assert found["outcomes"]["OK"] == found["sent"] // 2


def test_what_there_is_not_is_named(tiny_bundle):
    with pytest.raises(ConfigError, match="--fault flood: expected one of kill, freeze"):
        run_faults_bench("flood", tiny_bundle, 1, 1.0, as_json=True)
    with pytest.raises(ConfigError, match="--scenario all: expected one of"):
        run_serve_bench(asked(tiny_bundle, "all"), as_json=True)
