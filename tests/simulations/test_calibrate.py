"""Service times out of answers' stamps: batches once, handing over, free and busy replicas."""

from pathlib import Path

import pytest

pytest.importorskip("pydantic", reason="needs the server extra")

from narrows.errors import LinkError
from narrows.simulations.planning.calibrate import Stamps
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
    times = Stamps(alone, closed, open_, loop_s=0.010).times(SERVED)
    assert times.batch_ms == {1: (10.0, 11.0, 12.0, 13.0), 2: (20.0, 22.0)}
    assert times.handover_ms == (3.0,)
    assert set(times.answer_ms[2]) == {2.0}
    assert times.idle_ms == (1.0,)
    assert times.busy_ms == (1.0,)
    assert times.loop_ms == pytest.approx(10 / 5)
    assert times.device == "paced"
    assert times.head_ms > 0


def test_measurements_add_up():
    stamps = Stamps(batch(0, 1, [0]), [], [], 0.5)
    stamps.add(Stamps([], batch(5, 1, [5]), batch(9, 1, [9]), 0.25))
    assert [len(stamps.alone), len(stamps.closed), len(stamps.open)] == [1, 1, 1]
    assert stamps.loop_s == 0.75


def test_no_answer_is_told():
    with pytest.raises(LinkError, match="answered no frame"):
        Stamps().times(SERVED)
