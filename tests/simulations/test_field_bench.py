"""`narrows bench field` in small."""

import json

import pytest

from narrows.errors import NarrowsError
from narrows.kernels import coder, field
from narrows.simulations.bench import field as bench

SHAPES = {"square": (9, 9, 9), "decode": (1, 5, 64)}


@pytest.fixture(scope="module")
def found():
    return json.loads(json.dumps(bench.bench_field(SHAPES, threads=1, rounds=1)))


def test_every_shape_is_measured_with_both_primes(found):
    rows = [(row["name"], row["bits"]) for row in found["rows"]]
    assert rows == [("square", 31), ("square", 61), ("decode", 31), ("decode", 61)]
    slower = {f"narrows {isa}" for isa in coder.instruction_sets()[:-1]}
    for row in found["rows"]:
        assert row["ms"].keys() == {"narrows", "limbs", "float32", "float64"} | slower
        assert row["times_ours"]["narrows"] == 1
    assert min(found[key] for key in ("field_gemm_gops", "sgemm_gflops", "decode_ms")) > 0


def test_the_table_is_printed(found, capsys):
    bench.print_field(found)
    assert "GFLOP/s" in capsys.readouterr().out


def test_a_wrong_product_is_found_out(monkeypatch):
    wrong = lambda a, b, p: field.matmul(a, b, p) + 1  # noqa: E731
    monkeypatch.setattr(field, "matmul_limbs", wrong)
    with pytest.raises(NarrowsError, match="another product"):
        bench.bench_field(SHAPES, threads=1, rounds=1)


def test_the_race_is_run_by_a_child(monkeypatch, capsys):
    monkeypatch.setattr(bench, "ROUNDS", 0)
    with pytest.raises(NarrowsError, match="could not be measured"):
        bench.run_field_bench(True, 1)
