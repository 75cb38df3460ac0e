"""`narrows bench tail` in small."""

import json

import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.simulations.bench.tail import run_tail_bench


def test_every_way_is_measured_at_every_batch(tiny_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run_tail_bench(tiny_bundle, "cpu", 1, build=False, as_json=True, rounds=1)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["batch"], row["way"]) for row in rows] == [
        (batch, way) for batch in (1, 8) for way in ("eager fp32", "eager bf16")
    ]
    assert all(row["ratio"] > 0 for row in rows)
    run_tail_bench(tiny_bundle, "cpu", 1, build=False, as_json=False, rounds=1)
    assert "eager bf16" in capsys.readouterr().out
