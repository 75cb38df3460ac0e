"""Service times out of answers' stamps: batches once, handing over, free and busy replicas."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="needs the server extra")

from machine_times import service_times
from rich.console import Console

from narrows.edge.encoder import encode_picture
from narrows.errors import LinkError
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.planning import calibrate, kept_times
from narrows.simulations.planning.calibrate import Stamps
from narrows.simulations.planning.device_times import photograph_like
from narrows.simulations.planning.kept_times import kept_file
from narrows.simulations.planning.pacing import Pacing
from narrows.simulations.planning.targets import Served

MS = 1_000_000
BUNDLE = Path(__file__).parents[2] / "models" / "zoo" / "classify"
SERVED = Served(BUNDLE, max_batch=2, pacing=Pacing(1, 1))


def batch(start_ms: int, took_ms: int, received_ms: list[int]) -> list[list[int]]:
    """Stamps of a batch's answers, each due 1 ms before its receipt, with 2 ms to get back."""
    return [
        [
            MS * (came - 1), MS * came, MS * (start_ms - came), MS * took_ms,
            MS * (start_ms + took_ms + 1), MS * (start_ms + took_ms + 2), len(received_ms),
        ]
        for came in received_ms
    ]  # fmt: skip


def test_what_stamps_say():
    alone = batch(1_000, 10, [1_000])
    # The second one waited while the first ran, and began 3 ms after its end.
    closed = [
        *batch(2_000, 20, [2_000, 2_000]),
        *batch(2_023, 22, [2_005, 2_010]),
        *batch(2_050, 11, [2_049]),
    ]
    open_ = [*batch(3_000, 12, [3_000]), *batch(3_012, 13, [3_005])]
    pictures = [*batch(9_000, 30, [9_000]), *batch(9_100, 50, [9_000, 9_000])]
    times = Stamps(alone, closed, open_, loop_s=0.010, pictures=pictures).times(SERVED)
    assert times.batch_ms == {1: (10.0, 11.0, 12.0, 13.0), 2: (20.0, 22.0)}
    assert times.handover_ms == (3.0,)
    assert set(times.answer_ms[2]) == {2.0}
    assert times.idle_ms == (1.0,)
    assert times.busy_ms == (1.0,)
    assert times.loop_ms == pytest.approx(10 / 5)
    assert times.device == "paced"
    assert times.picture_batch_ms == {1: (30.0,), 2: (50.0,)}
    assert times.head_ms > 0
    assert times.whole_ms > times.head_ms
    assert sorted(times.encode_ms) == [10, 30, 60, 90]
    assert min(times.encode_ms.values()) > 0


def test_random_arrivals_speak_for_sizes_they_make_often_and_ranks_are_theirs():
    slow = [row for k in range(30) for row in batch(1_000 + 100 * k, 50, [1_000 + 100 * k])]
    rare = batch(9_000, 80, [9_000, 9_000])
    took = [10 + k % 3 for k in range(30)]
    often = [row for k in range(30) for row in batch(20_000 + 100 * k, took[k], [20_000 + 100 * k])]
    times = Stamps(slow[:1], [*slow, *rare], often, loop_s=0.01).times(SERVED)
    assert max(times.batch_ms[1]) == 12.0
    assert times.batch_ms[2] == (80.0,)
    assert len(times.ranks) == 30
    assert [rank > 0.6 for rank in times.ranks] == [ms == 12 for ms in took]
    assert times.ranks[0] == 0.0


def test_measurements_add_up():
    stamps = Stamps(batch(0, 1, [0]), [], [], 0.5)
    stamps.add(Stamps([], batch(5, 1, [5]), batch(9, 1, [9]), 0.25))
    assert [len(stamps.alone), len(stamps.closed), len(stamps.open)] == [1, 1, 1]
    assert stamps.loop_s == 0.75


def test_what_another_version_kept_is_measured_anew(tmp_path, monkeypatch, tiny_bundle):
    """A file without pictures' times is no error: a real server is measured, with pictures."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kept_times, "CALIBRATION_S", 1.0)
    monkeypatch.setattr(calibrate, "ROUNDS", 1)
    kept = kept_file(Served(tiny_bundle, max_batch=1))
    old = service_times().model_dump(mode="json")
    for name in ("whole_ms", "encode_ms", "picture_batch_ms"):
        del old[name]
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(old))
    times = kept_times.service_times(None, tiny_bundle, 1, 1, Console(quiet=True))
    assert times.machine != old["machine"]
    assert min(times.picture_batch_ms) == 1
    assert ServiceTimes.load(kept).picture_batch_ms.keys() == times.picture_batch_ms.keys()
    again = kept_times.service_times(None, tiny_bundle, 1, 1, Console(quiet=True))
    assert again == ServiceTimes.load(kept)


def test_pictures_like_photographs_are_as_many_bytes_as_photographs():
    """Imagenette's at 224 x 224 have 2.3 kB at quality 10 and 8.7 at 60."""
    rng = np.random.default_rng(1)
    for quality, usual in ((10, 2327), (60, 8718)):
        size = len(encode_picture(photograph_like(224, rng), "jpeg", quality))
        assert size == pytest.approx(usual, rel=0.4)


def test_no_answer_is_told():
    with pytest.raises(LinkError, match="answered no frame"):
        Stamps().times(SERVED)
