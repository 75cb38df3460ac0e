"""Service times: kept as JSON, drawn between what was measured, refused where they are wrong."""

import json
from itertools import pairwise
from random import Random

import pytest

pytest.importorskip("pydantic", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")

from machine_times import service_times

from narrows.errors import ConfigError
from narrows.simulations.events.service import PICTURE, ServiceTimes, at_quantile, between


def test_what_is_saved_is_loaded(tmp_path):
    times = service_times()
    times.save(tmp_path / "deep" / "times.json")
    loaded = ServiceTimes.load(tmp_path / "deep" / "times.json")
    assert loaded.machine == times.machine
    assert loaded.batch_ms[8] == pytest.approx(times.batch_ms[8], abs=1e-3)
    assert loaded.most_per_second() == pytest.approx(times.most_per_second(), rel=1e-3)


def test_sizes_between_measured_ones_lie_between_them():
    by_size = {2: (10.0, 20.0), 4: (30.0, 60.0)}
    assert between(by_size, 2, 0.0) == 10.0
    assert between(by_size, 3, 1.0) == 40.0
    assert between(by_size, 1, 0.5) == 15.0
    assert between(by_size, 8, 1.0) == 120.0


def test_a_frame_alone_takes_what_its_parts_take():
    times = service_times()
    parts = (times.batch_ms[1], times.handover_ms, times.answer_ms[1], times.idle_ms)
    assert times.server_ms(1.0) == pytest.approx(sum(max(samples) for samples in parts))
    assert times.server_ms(0.0) == pytest.approx(sum(min(samples) for samples in parts))


def test_a_pictures_jpeg_lies_between_measured_qualities():
    times = service_times()  # 0.2 ms at quality 10, 0.6 at 90
    assert times.encode_ms_of(50) == pytest.approx(0.4)
    assert times.encode_ms_of(1) == 0.2
    assert times.encode_ms_of(100) == 0.6


def test_batches_of_pictures_have_times_of_their_own():
    times, rng = service_times(base_ms=6.0, frame_ms=4.0), Random(0)
    for size in (1, 2, 8):
        packets = [times.batch_ns(size, 0, rng.random(), rng) for _ in range(50)]
        pictures = [times.batch_ns(size, PICTURE, rng.random(), rng) for _ in range(50)]
        assert sum(pictures) / 50 - sum(packets) / 50 == pytest.approx(6e6, rel=0.25)


def test_quantiles_lie_between_samples():
    assert at_quantile((1.0, 3.0, 7.0), 0.75) == 5.0
    assert at_quantile((4.0,), 0.3) == 4.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"loop_ms": -1}, "loop_ms"),
        ({"speed": 2}, "speed"),
        ({"idle_ms": []}, "idle_ms"),
        ({"batch_ms": {"0": [1.0]}}, "batch_ms"),
        ({"picture_batch_ms": {"0": [1.0]}}, "picture_batch_ms"),
        ({"whole_ms": -2}, "whole_ms"),
        ({"batch_ms": {"1": ["soon"]}}, "batch_ms.1.0"),
    ],
)
def test_a_wrong_file_is_told_by_its_key(tmp_path, change, named):
    path = tmp_path / "times.json"
    path.write_text(json.dumps(service_times().model_dump(mode="json") | change))
    with pytest.raises(ConfigError, match=rf"times.json: {named}: "):
        ServiceTimes.load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        ServiceTimes.load(tmp_path / "none.json")


def test_replayed_batches_keep_their_order_from_a_random_place_on():
    """Slow ones stay together: what builds a queue is a spell, not a sample."""
    spell = (0.0,) * 90 + (1.0,) * 10
    times = service_times().model_copy(update={"ranks": spell, "handover_ms": (0.0,)})
    replay, rng = times.replay(Random(1)), Random(2)
    took = [replay.batch_ns(1, 0, rng) for _ in range(300)]
    slow = [ns == max(took) for ns in took]
    assert sum(slow) == 30
    assert sum(here != after for here, after in pairwise(slow)) <= 6  # three spells
    assert {times.replay(Random(seed)).batch_ns(1, 0, rng) == max(took) for seed in range(60)} == {
        True, False,
    }  # fmt: skip
