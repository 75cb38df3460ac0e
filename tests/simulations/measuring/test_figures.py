"""Figures of runs that are made up: what counts, and what is not known."""

import pytest

pytest.importorskip("pyarrow", reason="needs the server extra")

from narrows.edge.energy.boards import load_board
from narrows.edge.energy.model import CpuTimeModel
from narrows.edge.energy.sensor import About
from narrows.simulations.demo.devices import Fleet
from narrows.simulations.measuring.cell import Run
from narrows.simulations.measuring.choices import Cell, Choice
from narrows.simulations.measuring.events import rows_of
from narrows.simulations.measuring.figures import Sensing, figures_of
from narrows.simulations.measuring.photographs import Photographs
from narrows.simulations.measuring.stand import Line
from narrows.simulations.measuring.window import Spent

CELL = Cell("lte", Choice("0", "point"))
BOARD = load_board("pi4")


class Gpu:
    """A sensor of which only what it is matters here."""

    about = About("nvml", "made up", "gpu")

    def joules(self):
        raise AssertionError("nothing is read any more")


def sensing(*more):
    model = CpuTimeModel(BOARD, lambda: 0.0, lambda: 0.0)
    return Sensing((model, *more), Spent(1, 1.0, (2.0, 10.0), 0.5, 0.0))


def record(name, label="cat", status="OK", head_ms=2.0, device=0):
    timing = {"preprocess": 1.0, "head": head_ms, "send": 30.0} if status == "OK" else {}
    return {
        "name": name, "device": device, "status": status, "answered_by": "server",
        "labels": [{"name": label}] if status == "OK" else [], "packet_bytes": 100,
        "framing_bytes": 50, "wire_bytes": 150, "sendings": 1, "batch_size": 1,
        "timing_ms": timing,
    }  # fmt: skip


def run_of(records, truth=None, spent=None, lost=0):
    fleet = Fleet(records=records)
    rows = rows_of(CELL, 0, fleet, Photographs([], truth or {}))
    return Run(CELL, rows, lost, 0, 0.004 * len(records), 60 << 20, spent, Line("", 3000, 1000))


def test_a_frame_without_an_answer_is_wrong_and_has_no_latency():
    records = [record("a"), record("b", "dog"), record("c", status="DEADLINE_EXCEEDED")]
    found = figures_of([run_of(records, {"a": "cat", "b": "cat", "c": "cat"})], sensing())
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert (found["frames"], found["answered"]) == (3, 2)
    assert found["errors"] == {"DEADLINE_EXCEEDED": 1}
    assert found["latency_ms"]["p50"] == 33.0


def test_first_frames_of_each_device_count_for_everything_but_latency():
    slow = [record(f"s{i}", head_ms=900.0, device=i % 2) for i in range(6)]
    found = figures_of([run_of([*slow, record("a"), record("b", device=1)])], sensing())
    assert found["latency_ms"]["p99"] == 33.0
    assert found["frames"] == 8
    only_first = figures_of([run_of(slow)], sensing())
    assert only_first["latency_ms"]["p50"] == 931.0


def test_a_frame_that_was_interrupted_does_not_make_its_stage_dear():
    spent = Spent(8, 1.0, (2.0, 10.0), 0.5, 0.1)
    records = [record(str(i)) for i in range(9)]
    calm = figures_of([run_of([*records, record("9")], spent=spent)], sensing())
    once = figures_of([run_of([*records, record("9", head_ms=900.0)], spent=spent)], sensing())
    assert once["energy"] == calm["energy"]
    assert calm["energy"]["stages"]["head"] == pytest.approx(BOARD.core_w * 0.002)
    assert calm["energy"]["stages"]["other"] == pytest.approx(BOARD.core_w * 0.001)
    assert calm["server"]["cpu_ms_per_frame"] == pytest.approx(12.5)


def test_rounds_are_added_and_what_was_not_seen_is_not_made_up():
    spent = Spent(5, 2.0, (6.0, 40.0), 1.0, 0.2)
    one, other = run_of([record("a")], spent=spent), run_of([record("b")], lost=2)
    found = figures_of([one, other], sensing(Gpu()))
    assert found["energy"]["machine_joules_per_frame"] == pytest.approx(6.0 / 5)
    assert found["server"]["gpu_joules_per_frame"] == pytest.approx((40.0 - 2 * 10.0) / 5)
    assert found["bytes"]["link_up"] == 3000
    assert found["lost"] == 2
    blind = figures_of([other], sensing())
    assert blind["energy"]["joules_per_frame"] is None
    assert blind["server"]["cpu_ms_per_frame"] is None
    assert blind["server"]["gpu_joules_per_frame"] is None
