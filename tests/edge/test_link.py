"""Backoff and wire accounting: small arithmetic that must be right."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.link import Backoff
from narrows.edge.wire import WireBytes, message_bytes, wire_bytes
from narrows.protos.narrows.v1 import inference_pb2


@given(seed=st.integers(), attempts=st.integers(1, 200))
def test_backoff_stays_under_a_ceiling_that_doubles_to_the_cap(seed: int, attempts: int) -> None:
    backoff = Backoff(0.05, 5.0, jitter=random.Random(seed))
    for attempt in range(attempts):
        assert 0 <= backoff.next_s() <= min(5.0, 0.05 * 2.0**attempt)


def test_success_resets_the_backoff() -> None:
    backoff = Backoff(0.05, 5.0)
    for _ in range(20):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.05


@pytest.mark.parametrize(
    ("message", "data_frames"), [(1, 1), (16_379, 1), (16_380, 2), (100_000, 7)]
)
def test_framing_counts_a_header_per_16_kib(message: int, data_frames: int) -> None:
    assert WireBytes(0, message).total_bytes == message + 5 + 9 * data_frames


@given(st.binary(min_size=1, max_size=3000), st.sampled_from(["packet", "image"]))
def test_a_message_costs_its_payload_and_little_more(data: bytes, kind: str) -> None:
    frame = inference_pb2.Frame(frame_id=7, deadline_ms=100, **{kind: data})
    assert wire_bytes(frame).packet_bytes == len(data)
    assert 14 < wire_bytes(frame).framing_bytes < 32
    assert message_bytes(**{kind: data}, size=(224, 300)) - len(data) < 40
