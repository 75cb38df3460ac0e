"""What travels: numbers back within half a step, whatever came over the wire an error by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import PacketError, ShapeError
from narrows.federated.prompt.coding import Coding, code, decoded


def drawn(n: int, channels: int, positions: int, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    scale = np.exp(chance.normal(0, 3, (channels, 1)))  # channels of very different size
    return (chance.laplace(size=(n, channels, positions)) * scale).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 60), st.floats(0.05, 2))
def test_numbers_come_back_within_half_a_step(n, channels, positions, step):
    values = drawn(n, channels, positions)
    coding = Coding.fit(values, step)
    again = Coding.from_bytes(coding.to_bytes(), channels)
    back = again.decode([coding.encode(values)], n, positions)
    assert back.shape == values.shape
    assert (np.abs(back - values) <= coding.steps[:, None] * 0.5001).all()


def test_pictures_coded_one_by_one_decode_together_in_their_order():
    values = drawn(6, 5, 30)
    coding = Coding.fit(values, 0.2)
    strings = [coding.encode(values[i : i + 1]) for i in range(6)]
    back = coding.decode(strings[::-1], 1, 30)[::-1]
    assert (np.abs(back - values) <= coding.steps[:, None] * 0.5001).all()


def test_a_channel_has_its_own_table_where_it_has_enough_numbers():
    assert Coding.fit(drawn(8, 3, 1024), 0.5).tables.channels == 3
    assert Coding.fit(drawn(8, 100, 1), 0.5).tables.channels == 1


def test_a_string_is_as_long_as_its_channels_entropies():
    values = drawn(20, 16, 256)
    coding = Coding.fit(values, 0.5)
    ideal_bits = 0.0
    for channel in np.rint((values - coding.centres[:, None]) / coding.steps[:, None]).transpose(
        1, 0, 2
    ):
        counts = np.unique(channel, return_counts=True)[1]
        ideal_bits -= (counts * np.log2(counts / counts.sum())).sum()
    assert ideal_bits / 8 < len(coding.encode(values)) < 1.02 * ideal_bits / 8 + 100


def test_constant_and_silent_channels_survive():
    values = np.zeros((3, 2, 8), np.float32)
    values[:, 1] = 7.5
    back = decoded(code(values, 0.5), values.shape)
    assert back == pytest.approx(values, abs=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_training_that_diverged_is_said_before_it_is_sent(bad):
    values = drawn(2, 3, 4)
    values[1, 2, 3] = bad
    with pytest.raises(ShapeError, match="diverged"):
        Coding.fit(values, 0.5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_are_named_errors(data):
    values = drawn(3, 8, 20)
    tables, string = code(values, 0.3)
    which = data.draw(st.sampled_from(["string", "tables"]))
    whole = bytearray(string if which == "string" else tables)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    cut = bytes(whole[: data.draw(st.integers(place + 1, len(whole)))])
    told = (tables, cut) if which == "string" else (cut, string)
    with pytest.raises(PacketError):
        decoded(told, values.shape)


def test_another_number_of_pictures_than_was_coded_is_an_error():
    told = code(drawn(3, 8, 20), 0.3)
    with pytest.raises(PacketError):
        decoded(told, (4, 8, 20))
    with pytest.raises(PacketError):
        decoded(told, (3, 9, 20))


def test_a_message_cannot_ask_for_more_memory_than_its_limit():
    values = drawn(1, 2, 4)
    coding = Coding.fit(values, 0.5)
    with pytest.raises(ShapeError, match="fewer"):
        coding.decode([coding.encode(values)] * 2, 1 << 20, 1 << 10)
