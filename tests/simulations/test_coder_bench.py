"""The coder benchmark in small: who runs, what is checked, what the JSON holds."""

import dataclasses
import json

import numpy as np
import pytest

from narrows.errors import NarrowsError
from narrows.kernels import coder
from narrows.simulations.bench import coder as bench
from narrows.simulations.bench.coder_report import plot_coders, print_coders
from narrows.simulations.bench.coder_workload import BATCH, REGIMES, make_workload
from narrows.simulations.bench.race import race, scaling

SHAPE = (3, 6, 5)


@pytest.fixture(scope="module")
def found():
    return bench.bench_coder(threads=2, shape=SHAPE, rounds=1)


def test_the_json_holds_what_was_promised(found):
    found = json.loads(json.dumps(found))
    assert found["symbols"] == np.prod(SHAPE)
    for field in ("encode_msym_s", "decode_msym_s", "bits_per_symbol", "entropy_bits_per_symbol"):
        assert found[field] > 0
    assert set(found["peers"]) | set(found["missing"]) >= {"compressai", "constriction", "zstd -1"}
    for peer in found["peers"].values():
        assert {"encode_msym_s", "decode_msym_s", "bits_per_symbol"} <= peer.keys()
    assert set(found["regimes"]) == set(REGIMES)
    assert set(found["isas"]) == set(coder.instruction_sets())
    assert found["scaling"]["threads"] == 2
    assert set(found["scaling"]) > set(found["peers"])


def test_every_coder_says_how_far_it_is_from_the_ideal(found):
    for regime in found["regimes"].values():
        for name, row in regime["coders"].items():
            assert ("over_ideal_percent" in row) == (name != f"narrows x{BATCH}")


def test_the_table_and_the_picture_are_made(found, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs the server extra")
    print_coders(found)
    assert "narrows" in capsys.readouterr().out
    plot_coders(found, tmp_path / "coders.png")
    assert (tmp_path / "coders.png").read_bytes().startswith(b"\x89PNG")


def test_a_coder_that_loses_symbols_is_found_out():
    work = make_workload(REGIMES["mid"], SHAPE)
    ours = bench.OWN["narrows"](work)
    lossy = dataclasses.replace(ours, symbols=lambda found: ours.symbols(found) + 1)
    with pytest.raises(NarrowsError, match="does not decode"):
        bench._verify("lossy", lossy, ours.encode(), work)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_workload_follows_its_law(regime):
    work = make_workload(REGIMES[regime], (8, 30, 30))
    assert all(abs(pmf.sum() - 1) < 1e-8 for pmf in work.pmfs)
    offset = work.latents - work.medians[:, None, None] - work.symbols
    assert np.abs(offset).max() <= 0.5
    assert np.abs(work.medians).min() > 0
    assert work.ideal_bits() / work.symbols[0].size == pytest.approx(work.entropy_bits, rel=0.05)


def test_everyone_in_a_race_takes_every_turn():
    turns = []
    found = race({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=3)
    assert found.keys() == {"a", "b"}
    changes = [turn for turn, before in zip(turns, [None, *turns], strict=False) if turn != before]
    assert changes == ["a", "b"] * 3


def test_scaling_gives_each_thread_its_own_call():
    counts = [0, 0]

    def call(i):
        counts[i] += 1

    assert scaling([lambda: call(0), lambda: call(1)], seconds=0.001, rounds=1) > 0
    assert min(counts) > 0
