"""The coder: every implementation round-trips everything, with the same bytes, near the entropy."""

import numpy as np
import pytest
from coding import by_reference, counts_of, decoded, frames, laplace_symbols, laplace_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.codec.tables import CodingTables
from narrows.kernels import BACKEND, coder
from narrows.kernels.coder import CorruptStream, TableArrays, reference
from narrows.kernels.coder.arrays import TOTAL

LANES = [1, 2, 4, 8, 16, 32, 64]
native = pytest.mark.skipif(BACKEND != "native", reason="the native coder is not built here")


@settings(max_examples=150, deadline=None)
@given(frames(), st.sampled_from([0, *LANES]))
def test_any_symbols_round_trip_with_any_lanes(frame, lanes):
    tables, symbols = frame
    coded = coder.encode(symbols, tables.arrays, lanes)
    assert np.array_equal(decoded(coder, coded, tables.arrays, symbols.shape), symbols)


@native
@settings(max_examples=100, deadline=None)
@given(frames(), st.sampled_from(LANES))
def test_native_and_reference_write_and_read_the_same_bytes(frame, lanes):
    tables, symbols = frame
    ours = coder.encode(symbols, tables.arrays, lanes)
    assert ours == by_reference(symbols, tables.arrays, lanes)
    assert np.array_equal(decoded(reference, ours, tables.arrays, symbols.shape), symbols)


@native
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("scale", [0.05, 0.3, 4.0])
def test_implementations_agree_on_whole_latents(lanes, scale):
    scales = [scale * (1 + c / 3) for c in range(6)]
    tables, symbols = laplace_tables(scales).arrays, laplace_symbols(scales, 21, 19)
    coded = coder.encode(symbols, tables, lanes)
    assert coded == by_reference(symbols, tables, lanes)
    assert np.array_equal(decoded(reference, coded, tables, symbols.shape), symbols)
    assert np.array_equal(decoded(coder, coded, tables, symbols.shape), symbols)


@pytest.mark.parametrize("shape", [(1, 0, 0), (3, 0, 7), (1, 1, 1), (4096, 1, 1), (2, 1, 300)])
def test_degenerate_shapes_round_trip(shape):
    tables = laplace_tables([2.0] * shape[0], reach=20).arrays
    symbols = np.full(shape, 3, np.int16)
    for lanes in (0, 1, 8):
        coded = coder.encode(symbols, tables, lanes)
        assert np.array_equal(decoded(coder, coded, tables, shape), symbols)


def test_every_symbol_escaped_round_trips():
    tables = CodingTables.from_pmfs([np.ones(1)] * 2, [5, -5]).arrays
    symbols = np.tile(np.array([-32768, 32767, 0, 6, 4], np.int16), 2 * 40).reshape(2, 10, 20)
    for lanes in LANES:
        coded = coder.encode(symbols, tables, lanes)
        assert np.array_equal(decoded(coder, coded, tables, symbols.shape), symbols)


def test_a_table_of_4096_symbols_round_trips():
    rng = np.random.default_rng(1)
    tables = CodingTables.from_pmfs([rng.random(4096) + 0.1], [-2048])
    symbols = rng.integers(-2100, 2100, (1, 50, 50)).astype(np.int16)
    assert int(tables.arrays.lengths[0]) >= 4000
    coded = coder.encode(symbols, tables.arrays)
    assert np.array_equal(decoded(coder, coded, tables.arrays, symbols.shape), symbols)


@pytest.mark.parametrize("scale", [0.02, 0.1, 0.3, 1.0, 4.0, 12.0])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (24, 4, 4), (24, 14, 14), (24, 28, 28), (48, 28, 28), (24, 55, 55)]
)
def test_size_is_within_0_3_percent_and_16_bytes_of_the_entropy(scale, shape):
    scales = [scale] * shape[0]
    tables, symbols = laplace_tables(scales).arrays, laplace_symbols(scales, *shape[1:])
    ideal = coder.cost_bits(symbols, tables) / 8
    assert len(coder.encode(symbols, tables).payload) <= ideal * 1.003 + 16


def test_size_is_close_to_constrictions_on_the_same_tables():
    constriction = pytest.importorskip("constriction", reason="the peer is in the dev extra")
    scales = [0.2, 0.7, 2.0, 5.0]
    tables, symbols = laplace_tables(scales), laplace_symbols(scales, 48, 48)
    peer = constriction.stream.stack.AnsCoder()
    starts = tables.arrays.starts()
    for c in range(4):
        inside = tables.arrays.cdf[starts[c] : starts[c + 1]].astype(np.float64)
        model = constriction.stream.model.Categorical(np.diff(inside) / 2**14, perfect=False)
        low, length = int(tables.arrays.offsets[c]), int(tables.arrays.lengths[c])
        symbols[c] = np.clip(symbols[c], low, low + length - 1)  # the peer has no escapes
        peer.encode_reverse(symbols[c].ravel().astype(np.int32) - low, model)
    theirs = peer.get_compressed().nbytes
    assert len(coder.encode(symbols, tables.arrays).payload) <= theirs * 1.0015 + 16


def test_cost_is_the_reference_cost():
    scales = [0.3, 3.0]
    tables, symbols = laplace_tables(scales, reach=4).arrays, laplace_symbols(scales, 30, 30)
    assert coder.cost_bits(symbols, tables) == reference.cost_bits(
        symbols.ravel(), counts_of(symbols.shape), tables
    )


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 6), st.integers(0, 300))
def test_any_bytes_decode_to_symbols_or_a_clear_error(payload, lanes_log2, tail):
    tables = laplace_tables([0.5, 2.0]).arrays
    coded = [(payload, 1 << lanes_log2, tail)]
    symbols, (error,) = coder.decode_batch(coded, tables, 9, 11, 1)
    assert symbols.shape == (1, 2, 9, 11)
    assert error is None or (error and not symbols.any())


def test_a_flipped_bit_is_an_error_or_other_symbols_but_never_harms_neighbours():
    tables, symbols = laplace_tables([1.0] * 3).arrays, laplace_symbols([1.0] * 3, 12, 12)
    good = coder.encode(symbols, tables, 4)
    for bit in range(0, 8 * len(good.payload), 5):
        bad = bytearray(good.payload)
        bad[bit // 8] ^= 1 << bit % 8
        batch = [
            (good.payload, 4, good.tail),
            (bytes(bad), 4, good.tail),
            (good.payload, 4, good.tail),
        ]
        found, errors = coder.decode_batch(batch, tables, 12, 12, threads=2)
        assert errors[0] is None
        assert errors[2] is None
        assert np.array_equal(found[0], symbols)
        assert np.array_equal(found[2], symbols)


def test_truncation_is_always_noticed():
    tables, symbols = laplace_tables([1.0] * 3).arrays, laplace_symbols([1.0] * 3, 12, 12)
    good = coder.encode(symbols, tables, 4)
    for size in range(len(good.payload)):
        with pytest.raises(CorruptStream):
            coder.decode(good.payload[:size], tables, 12, 12, 4, good.tail)


@native
def test_the_encoder_divides_exactly_by_every_frequency():
    symbols = np.tile(np.array([0, 0, 0, 1, 0, 9], np.int16), 4).reshape(1, 4, 6)
    for frequency in [*range(1, 66), *range(67, TOTAL - 2, 41), TOTAL - 2]:
        cdf = np.array([0, frequency, frequency + 1, TOTAL], np.uint16)
        tables = TableArrays(np.zeros(1, np.int32), np.array([2], np.int32), cdf)
        assert coder.encode(symbols, tables, 1) == by_reference(symbols, tables, 1)


@pytest.mark.parametrize("implementation", [coder, reference], ids=["default", "reference"])
@pytest.mark.parametrize(
    ("lanes", "tail"), [(0, 0), (3, 0), (128, 0), (-1, 0), (2, -1), (2, 5), (1, 1)]
)
def test_impossible_lanes_and_tails_are_refused(implementation, lanes, tail):
    tables = laplace_tables([1.0]).arrays
    coded = coder.EncodedPayload(bytes(1024), lanes, tail)
    with pytest.raises(CorruptStream, match=f"{lanes} lanes and a tail of {tail}"):
        decoded(implementation, coded, tables, (1, 2, 2))


def test_crc32c_of_the_standard_check_string():
    assert coder.crc32c(b"123456789") == reference.crc32c(b"123456789") == 0xE3069283


@given(st.binary(max_size=99))
def test_crc32c_is_the_same_everywhere(data):
    assert coder.crc32c(data) == reference.crc32c(data)


def test_symbols_of_another_shape_or_type_are_named():
    tables = laplace_tables([1.0]).arrays
    with pytest.raises(ValueError, match=r"expected int16 \(1, height, width\), got int32"):
        coder.encode(np.zeros((1, 2, 2), np.int32), tables)
    with pytest.raises(ValueError, match=r"expected int16 \(1, height, width\), got int16"):
        coder.cost_bits(np.zeros((2, 2, 2), np.int16), tables)
    with pytest.raises(ValueError, match="power of two"):
        coder.encode(np.zeros((1, 2, 2), np.int16), tables, 3)
