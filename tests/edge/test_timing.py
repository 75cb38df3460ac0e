"""The parts of a frame's time are never negative and add up, whatever the server claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.timing import ClockOffset, DeviceStamps, frame_timing
from narrows.protos.narrows.v1 import inference_pb2

durations = st.integers(0, 10**9)
claims = st.integers(0, 2**64 - 1)


@given(
    stages=st.tuples(durations, durations, durations),
    started=durations,
    waited=durations,
    answered=durations,
    server=st.tuples(claims, claims, claims, claims, claims),
    offset=st.none() | st.integers(-(2**64), 2**64),
)
def test_parts_are_non_negative_and_sum_to_the_whole(
    stages: tuple[int, int, int],
    started: int,
    waited: int,
    answered: int,
    server: tuple[int, int, int, int, int],
    offset: int | None,
) -> None:
    sent = started + sum(stages) + waited
    stamps = DeviceStamps(*stages, started, sent, sent + answered)
    names = ("received_ns", "queue_ns", "decode_ns", "tail_ns", "reply_ns")
    claimed = inference_pb2.ServerTiming(**dict(zip(names, server, strict=True)))
    clock = None if offset is None else ClockOffset(offset, 0)
    timing = frame_timing(stamps, claimed, clock)
    assert min(vars(timing).values()) >= 0
    assert timing.total == stamps.answered_ns - started


def test_the_link_is_split_by_the_clocks_offset() -> None:
    stamps = DeviceStamps(1, 2, 3, started_ns=0, sent_ns=10, answered_ns=110)
    server = inference_pb2.ServerTiming(
        received_ns=1_030, queue_ns=5, decode_ns=6, tail_ns=7, reply_ns=2
    )
    timing = frame_timing(stamps, server, ClockOffset(offset_ns=1_000, round_trip_ns=40))
    assert (timing.wait, timing.send, timing.reply) == (4, 20, 62)


def test_without_pings_the_link_is_split_in_halves() -> None:
    stamps = DeviceStamps(0, 0, 0, started_ns=0, sent_ns=0, answered_ns=100)
    timing = frame_timing(stamps, inference_pb2.ServerTiming(received_ns=7), None)
    assert (timing.send, timing.reply) == (50, 50)


@given(
    up=durations, down=durations, offset=st.integers(-(10**12), 10**12), sent=st.integers(0, 10**12)
)
def test_a_ping_finds_the_offset_within_half_its_asymmetry(
    up: int, down: int, offset: int, sent: int
) -> None:
    found = ClockOffset.from_ping(sent, sent + up + offset, sent + up + down)
    assert found.offset_ns == pytest.approx(offset, abs=abs(up - down) / 2 + 1)
    assert found.round_trip_ns == up + down
