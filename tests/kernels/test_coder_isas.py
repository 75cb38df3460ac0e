"""Every instruction set writes and reads the reference's bytes."""

import os
import subprocess
import sys

import numpy as np
import pytest
from coding import laplace_symbols, laplace_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.codec.tables import CodingTables
from narrows.kernels import coder
from narrows.kernels.coder import TableArrays, reference
from narrows.kernels.coder.arrays import TOTAL

ISAS = coder.instruction_sets()
LANES = [1, 2, 4, 8, 16, 32, 64]
pytestmark = pytest.mark.skipif(not ISAS, reason="the native coder is not built here")
each_isa = pytest.mark.parametrize("isa", ISAS)


@st.composite
def rows(draw):
    """Rows of any lengths; tables from two entries to hundreds, flat, steep or peaked."""
    channels = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pmfs, offsets, symbols, counts = [], [], [], []
    for _ in range(channels):
        size = draw(st.sampled_from([1, 2, 3, 14, 15, 16, 30, 31, 62, 63, 64, 127, 130, 260, 600]))
        scale = draw(st.sampled_from([0.1, 1.0, 5.0, 40.0, 1e6]))
        pmf = np.exp(-np.abs(np.arange(size) - size // 2) / scale) + 1e-12
        offset = draw(st.sampled_from([-32768, -size // 2, 0, 32767 - size]))
        count = draw(st.sampled_from([0, 1, 5, 16, 31, 64, 65, 200, 1000]))
        drawn = rng.choice(size, count, p=pmf / pmf.sum()) + offset
        astray = rng.random(count) < draw(st.sampled_from([0.0, 0.01, 0.5]))
        drawn = np.where(astray, rng.integers(-32768, 32768, count), drawn)
        pmfs.append(pmf)
        offsets.append(offset)
        counts.append(count)
        symbols.append(np.clip(drawn, -32768, 32767).astype(np.int16))
    tables = CodingTables.from_pmfs(pmfs, offsets).arrays
    return tables, np.array(counts, np.uint64), np.concatenate(symbols)


@settings(max_examples=150, deadline=None)
@given(rows(), st.sampled_from([0, *LANES]))
def test_any_rows_have_the_same_bytes_on_every_instruction_set(frame, lanes):
    tables, counts, symbols = frame
    expected = reference.encode(symbols, counts, tables, lanes)
    for isa in ISAS:
        assert coder.encode_rows(symbols, counts, tables, lanes, isa) == expected
        packet = (expected.payload, expected.lanes, expected.tail)
        found, errors = coder.decode_rows([packet] * 3, counts, tables, 1, isa)
        assert errors == [None] * 3
        assert (found == symbols).all()


@each_isa
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("shape", [(5, 5), (1, 67), (24, 26)])
def test_latents_are_quantised_and_restored_as_by_the_reference(isa, lanes, shape):
    rng = np.random.default_rng(lanes)
    scales = [0.2, 1.0, 6.0, 30.0]
    tables = laplace_tables(scales).arrays
    gain = rng.uniform(0.5, 2.0, 4).astype(np.float32)
    median = rng.uniform(-1, 1, 4).astype(np.float32)
    latent = (laplace_symbols(scales, *shape) / gain[:, None, None]).astype(np.float32)
    latent += rng.normal(0, 0.2, latent.shape).astype(np.float32)
    latent.flat[::7] = (np.round(latent.flat[::7]) + 0.5) / gain[0]  # ties
    latent[0].flat[:5] = [np.nan, np.inf, -np.inf, 1e30, -1e30]
    symbols = reference.quantise(latent, gain, median)
    assert symbols[0].flat[0] == -32767
    coded = coder.encode_latent(latent, gain, median, tables, lanes, isa)
    assert coded == coder.encode(symbols, tables, lanes, isa)
    packet = (coded.payload, coded.lanes, coded.tail)
    inverse = np.float32(1) / gain
    found, errors = coder.decode_latents([packet] * 2, tables, inverse, median, *shape, 1, isa=isa)
    assert errors == [None, None]
    assert np.array_equal(found[1], reference.dequantise(symbols, inverse, median))
    assert np.array_equal(found[0], found[1])


@each_isa
def test_unaligned_buffers_are_read(isa):
    tables = laplace_tables([2.0]).arrays
    symbols = laplace_symbols([2.0], 20, 20)
    padded = np.zeros(symbols.nbytes + 1, np.uint8)
    padded[1:] = np.frombuffer(symbols.tobytes(), np.uint8)
    shifted = padded[1:].view(np.int16).reshape(symbols.shape)
    assert not shifted.flags.aligned
    assert coder.encode(shifted, tables, 16, isa) == coder.encode(symbols, tables, 16)


@each_isa
@pytest.mark.parametrize("lanes", [1, 16])
def test_every_frequency_divides_exactly(isa, lanes):
    rng = np.random.default_rng(0)
    for frequency in [*range(1, 66), *range(67, TOTAL - 2, 97), *range(11690, 11720), TOTAL - 2]:
        cdf = np.array([0, frequency, frequency + 1, TOTAL], np.uint16)
        tables = TableArrays(np.zeros(1, np.int32), np.array([2], np.int32), cdf)
        symbols = rng.choice([0, 0, 0, 1, 9], (1, 8, 20)).astype(np.int16)
        expected = coder.encode(symbols, tables, lanes, "portable")
        assert coder.encode(symbols, tables, lanes, isa) == expected


@each_isa
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(LANES[1:]), st.integers(0, 3))
def test_damaged_payloads_meet_the_same_verdict_everywhere(isa, seed, lanes, damage):
    rng = np.random.default_rng(seed)
    scales = [0.5, 4.0]
    tables, symbols = laplace_tables(scales).arrays, laplace_symbols(scales, 14, 14, seed % 1000)
    coded = coder.encode(symbols, tables, lanes, isa)
    bad = bytearray(coded.payload)
    for _ in range(damage):
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
    cut = bytes(bad[: rng.integers(len(bad) + 1)]) if damage == 3 else bytes(bad)
    batch = [(cut, coded.lanes, coded.tail), (coded.payload, coded.lanes, coded.tail)]
    found, errors = coder.decode_batch(batch, tables, 14, 14, 1, isa)
    expected, verdicts = coder.decode_batch(batch, tables, 14, 14, 1, "portable")
    assert errors == verdicts
    assert np.array_equal(found, expected)
    assert errors[1] is None
    assert np.array_equal(found[1], symbols)


def test_an_unknown_instruction_set_is_named():
    tables = laplace_tables([1.0]).arrays
    with pytest.raises(RuntimeError, match="mmx: this machine has portable"):
        coder.encode(np.zeros((1, 2, 2), np.int16), tables, isa="mmx")


def test_counts_that_do_not_add_up_are_named():
    tables = laplace_tables([1.0]).arrays
    with pytest.raises(ValueError, match="counts of 3 symbols in all, 4 came"):
        coder.encode_rows(np.zeros(4, np.int16), np.array([3], np.uint64), tables)
    with pytest.raises(ValueError, match=r"expected uint64 counts \(1,\)"):
        coder.encode_rows(np.zeros(4, np.int16), np.array([2, 2], np.uint64), tables)


@pytest.mark.parametrize("lanes", LANES)
def test_equal_rows_are_a_frame(lanes):
    tables, symbols = laplace_tables([0.3, 4.0]).arrays, laplace_symbols([0.3, 4.0], 9, 11)
    frame = coder.encode(symbols, tables, lanes)
    assert coder.encode_rows(symbols.ravel(), np.array([99, 99], np.uint64), tables, lanes) == frame


def test_a_variable_that_names_no_instruction_set_is_one_line():
    command = [sys.executable, "-m", "narrows.cli", "doctor"]
    environment = os.environ | {"NARROWS_ISA": "mmx"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("narrows: NARROWS_ISA is mmx: this machine has portable")
    assert len(done.stderr.splitlines()) == 1


@each_isa
@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_of_latents_is_coded_as_each_alone(isa, threads):
    tables = laplace_tables([0.5, 3.0]).arrays
    latents = np.random.default_rng(0).normal(0, 2, (7, 2, 20, 30)).astype(np.float32)
    gain, median = np.array([[1, 2], [0.25, 0]], np.float32)
    batch = coder.encode_latents(latents, gain, median, tables, threads, isa=isa)
    assert batch == [coder.encode_latent(y, gain, median, tables, isa=isa) for y in latents]
    assert coder.encode_latents(latents[:0], gain, median, tables, threads, isa=isa) == []
    with pytest.raises(ValueError, match="batch, C"):
        coder.encode_latents(latents[0], gain, median, tables, threads)
    with pytest.raises(ValueError, match=r"expected float32 \(2, height, width\)"):
        coder.encode_latents(latents[:, :1], gain, median, tables, threads)
