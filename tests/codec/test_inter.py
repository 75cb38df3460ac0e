from pathlib import Path

import numpy as np
import pytest
from coding import laplace_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from narrows.codec import bitstream
from narrows.codec.frame import FrameCodec, PointCoding
from narrows.codec.inter import CONTEXTS, HYSTERESIS, Reference, count_differences, tables_of
from narrows.codec.tables import CodingTables
from narrows.codec.video import VideoEncoder
from narrows.errors import CorruptPayload, MissingReference, PacketError
from narrows.kernels.coder import EncodedPayload

GOLDEN = Path(__file__).parent / "golden" / "inter.safetensors"
CHANNELS, HEIGHT, WIDTH = 3, 7, 9
ONES = np.ones(CHANNELS, np.float32)


def moving(frames: int, change: float, seed: int = 0) -> list[np.ndarray]:
    """Latents of which a share of positions is another from frame to frame."""
    rng = np.random.default_rng(seed)
    latent = rng.laplace(0, 1.5, (CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    sequence = [latent]
    for _ in range(frames - 1):
        fresh = rng.laplace(0, 1.5, latent.shape).astype(np.float32)
        latent = np.where(rng.random(latent.shape) < change, fresh, latent)
        sequence.append(latent)
    return sequence


def codec(change: float = 0.1) -> FrameCodec:
    frames = [np.rint(y).astype(np.int16) for y in moving(60, change, seed=1)]
    inter = tables_of(count_differences(frames, reach=16), CHANNELS)
    points = [
        PointCoding(laplace_tables([1.5] * CHANNELS), ONES / step, ONES * step, ONES * 0)
        for step in (1.0, 2.0)
    ]
    return FrameCodec(b"\1\2\3\4", points, (16, 16), [inter, inter])


def symbols_of(value: int = 0) -> np.ndarray:
    return np.full((CHANNELS, HEIGHT, WIDTH), value, np.int16)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.3, 1.0]), st.integers(0, 1))
def test_a_receiver_in_order_has_every_frames_symbols(seed, change, point):
    c, before = codec(), None
    encoder = VideoEncoder(c)
    for latent in moving(5, change, seed):
        packet, key = encoder.encode(latent, point)
        symbols = c.decode_symbols(bitstream.parse(packet), before)
        assert np.array_equal(symbols, c.decode_symbols(bitstream.parse(key())))
        error = np.abs(c.dequantise(symbols, point) - latent)
        assert error.max() <= (0.5 + HYSTERESIS) * (1, 2)[point] + 1e-5
        before = Reference(symbols, point)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_symbols_survive_escapes_and_ends_of_the_range(seed):
    rng = np.random.default_rng(seed)
    wide = np.array([-32768, -20000, -3, 0, 1, 2, 500, 32767], np.int16)
    before, after = (rng.choice(wide, symbols_of().shape) for _ in range(2))
    reference, tables = Reference(before, 0), codec().inter[0]
    if reference.fits(after, 0):
        assert np.array_equal(reference.decode(reference.encode(after, tables), tables), after)
    near = (before // 2).astype(np.int16)
    assert reference.fits(near, 0)
    assert np.array_equal(reference.decode(reference.encode(near, tables), tables), near)


def test_a_frame_that_did_not_change_costs_a_fraction():
    encoder, (latent, *_) = VideoEncoder(codec()), moving(1, 0)
    first, _ = encoder.encode(latent, 0)
    again, _ = encoder.encode(latent, 0)
    assert bitstream.parse(first).header.reference is None
    assert bitstream.parse(again).header.reference is not None
    assert len(again) - 26 < (len(first) - 22) / 4


def test_noise_about_a_boundary_is_not_coded():
    encoder, c = VideoEncoder(codec()), codec()
    at = np.full((CHANNELS, HEIGHT, WIDTH), 0.49, np.float32)
    encoder.encode(at, 0)
    packet, _ = encoder.encode(at + np.float32(0.1), 0)
    kept = c.decode_symbols(bitstream.parse(packet), Reference(symbols_of(0), 0))
    assert (kept == 0).all()
    packet, _ = encoder.encode(at + np.float32(0.3), 0)
    assert (c.decode_symbols(bitstream.parse(packet), Reference(kept, 0)) == 1).all()


@pytest.mark.parametrize("change", ["point", "size", "scene"])
def test_what_the_frame_before_cannot_help_is_a_key(change):
    encoder = VideoEncoder(codec())
    encoder.encode(moving(1, 0)[0], 0)
    other = moving(1, 0, seed=9)[0]
    shape = other[:, :4] if change == "size" else other
    packet, key = encoder.encode(shape, 1 if change == "point" else 0)
    assert bitstream.parse(packet).header.reference is None
    assert packet == key()


def test_another_reference_is_refused_and_named():
    c, (a, b) = codec(), moving(2, 0.05)
    encoder = VideoEncoder(c)
    encoder.encode(a, 0)
    packet = bitstream.parse(encoder.encode(b, 0)[0])
    symbols = c.quantise(a, 0)
    wrong = symbols.copy()
    wrong[0, 0, 0] += 1
    for reference in (None, Reference(wrong, 0), Reference(symbols, 1), Reference(wrong[:, 1:], 0)):
        with pytest.raises(MissingReference, match="key frame"):
            c.decode_symbols(packet, reference)
    c.decode_symbols(packet, Reference(symbols, 0))


def test_a_bundle_without_inter_tables_asks_for_keys():
    c, (a, b) = codec(), moving(2, 0.05)
    encoder = VideoEncoder(c)
    encoder.encode(a, 0)
    packet = bitstream.parse(encoder.encode(b, 0)[0])
    plain = FrameCodec(c.digest_prefix, c.points, c.max_latent)
    with pytest.raises(MissingReference, match="send keys"):
        plain.check(packet.header)
    with pytest.raises(ValueError, match="decode_symbols"):
        c.decode([packet])


def test_every_flip_and_truncation_of_an_inter_packet_is_noticed():
    encoder, (a, b) = VideoEncoder(codec()), moving(2, 0.2)
    encoder.encode(a, 0)
    data, _ = encoder.encode(b, 0)
    assert bitstream.parse(data).header.reference is not None
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PacketError):
            bitstream.parse(bytes(bad))
    for size in range(len(data)):
        with pytest.raises(PacketError):
            bitstream.parse(data[:size])


def test_any_payload_gives_symbols_or_an_error():
    c, (a, b) = codec(), moving(2, 0.2)
    encoder = VideoEncoder(c)
    encoder.encode(a, 0)
    good, reference = bitstream.parse(encoder.encode(b, 0)[0]), Reference(c.quantise(a, 0), 0)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(500):
        payload = bytearray(good.payload)
        payload[rng.integers(len(payload))] ^= 1 << rng.integers(8)
        try:
            found = c.decode_symbols(bitstream.Packet(good.header, bytes(payload)), reference)
            assert found.shape == (CHANNELS, HEIGHT, WIDTH)
        except CorruptPayload:
            refused += 1
    assert refused > 400


def test_a_sum_beyond_int16_is_corrupt():
    tables = CodingTables.from_pmfs([np.ones(3)] * CHANNELS * CONTEXTS, [-1] * CHANNELS * CONTEXTS)
    ones = Reference(symbols_of(0), 0).encode(symbols_of(1), tables)
    with pytest.raises(CorruptPayload, match="int16"):
        # the same contexts' counts, so that the rows decode: +-2 and beyond are one context
        Reference(symbols_of(32767), 0).decode(
            Reference(symbols_of(100), 0).encode(symbols_of(101), tables), tables
        )
    assert ones.payload


def test_counted_tables_price_what_was_counted():
    frames = [np.rint(y).astype(np.int16) for y in moving(30, 0.1)]
    counts = count_differences(frames, reach=16)
    assert counts.sum() == 29 * frames[0].size
    tables = tables_of(counts, CHANNELS)
    reference = Reference(frames[3], 0)
    spent = 8 * len(reference.encode(frames[4], tables).payload)
    flat = tables_of(np.zeros_like(counts), CHANNELS)
    assert spent < 0.5 * 8 * len(reference.encode(frames[4], flat).payload)


def test_the_golden_inter_packet_is_written_and_read_by_every_build():
    golden = load_file(GOLDEN)
    tables, reference = CodingTables.from_arrays(golden), Reference(golden["before"], 1)
    packet = bitstream.parse(golden["packet"].tobytes())
    assert packet.header.reference == reference.checksum
    coded = EncodedPayload(packet.payload, packet.header.lanes, packet.header.tail)
    assert np.array_equal(reference.decode(coded, tables), golden["symbols"])
    again = reference.encode(golden["symbols"], tables)
    data = bitstream.serialise(1, b"\1\2\3\4", 14, 19, again, reference.checksum)
    assert data == golden["packet"].tobytes()
