import numpy as np
import pytest
from coding import laplace_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from narrows.codec import bitstream
from narrows.codec.frame import FrameCodec, PointCoding, load
from narrows.errors import BundleError, CorruptPayload, PacketError, ShapeError
from narrows.kernels.coder import EncodedPayload, crc32c
from narrows.kernels.coder.reference import dequantise, quantise

CHANNELS = 5


def codec(gains=(8.0, 2.0)) -> FrameCodec:
    ones = np.ones(CHANNELS, np.float32)
    points = [
        PointCoding(laplace_tables([g / 2] * CHANNELS), ones * g, ones / g, ones * 0.25)
        for g in gains
    ]
    return FrameCodec(b"\x01\x02\x03\x04", points, (16, 16))


def latent(height=7, width=9, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (CHANNELS, height, width)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 1), st.integers(0, 99))
def test_a_latent_comes_back_within_half_a_step(height, width, point, seed):
    c, sent = codec(), latent(height, width, seed)
    (received,) = c.decode([bitstream.parse(c.encode(sent, point))])
    assert np.abs(received - sent).max() <= 0.5 / (8.0, 2.0)[point] + 1e-6


def test_the_finer_point_costs_more_bytes():
    sizes = [len(codec().encode(latent(16, 16), point)) for point in (0, 1)]
    assert sizes[0] > 1.5 * sizes[1]


def test_a_batch_decodes_as_its_packets_do_alone():
    c = codec()
    packets = [bitstream.parse(c.encode(latent(seed=s), 0)) for s in range(9)]
    together = c.decode(packets, threads=2)
    alone = [c.decode([p])[0] for p in packets]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_a_corrupt_payload_is_its_own_error_alone():
    c = codec()
    good = bitstream.parse(c.encode(latent(), 0))
    bad = bitstream.Packet(good.header, good.payload[:-2])
    found = c.decode([good, bad, good])
    assert isinstance(found[1], CorruptPayload)
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("shape", "point", "said"),
    [
        ((CHANNELS, 4, 4), 2, "operating point 2: this bundle has 0 to 1"),
        ((CHANNELS, 4, 4), -1, "operating point -1"),
        ((CHANNELS, 17, 4), 0, "17 x 4: this bundle accepts 1 x 1 to 16 x 16"),
        ((CHANNELS, 0, 4), 0, "0 x 4"),
        ((CHANNELS + 1, 4, 4), 0, "expected a latent"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_numbers(shape, point, said):
    with pytest.raises(ShapeError, match=said):
        codec().encode(np.zeros(shape, np.float32), point)


def test_a_huge_announced_latent_allocates_nothing():
    coded = EncodedPayload(b"\x01\0\0\0", 1, 0)
    packet = bitstream.parse(bitstream.serialise(0, b"\1\2\3\4", 65535, 65535, coded))
    (error,) = codec().decode([packet])
    assert isinstance(error, ShapeError)


def test_every_flipped_bit_of_a_packet_is_noticed():
    data = codec().encode(latent(), 0)
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PacketError):
            bitstream.parse(bytes(bad))


def test_every_truncation_of_a_packet_is_noticed():
    data = codec().encode(latent(), 0)
    for size in range(len(data)):
        with pytest.raises(PacketError):
            bitstream.parse(data[:size])


def test_flips_under_a_right_checksum_give_an_error_or_the_right_shape():
    c = codec()
    data = c.encode(latent(), 0)
    for bit in range(8 * bitstream.HEADER_BYTES, 8 * len(data), 3):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        bad[18:22] = crc32c(bytes(bad[:18] + bad[22:])).to_bytes(4, "little")
        (found,) = c.decode([bitstream.parse(bytes(bad))])
        assert isinstance(found, CorruptPayload) or found.shape == (CHANNELS, 7, 9)


def saved(**changes) -> dict[str, np.ndarray]:
    """The tensors of a file with one point, some of them replaced."""
    ones = np.ones((1, CHANNELS), np.float32)
    tables = laplace_tables([1.0] * CHANNELS).to_arrays("p0.")
    return {"gain": ones, "inverse_gain": ones, "median": ones * 0, **tables} | changes


def test_tables_are_read_from_their_file(tmp_path):
    save_file(saved(), tmp_path / "tables.safetensors")
    loaded = load(tmp_path / "tables.safetensors", b"\1\2\3\4", (16, 16))
    (received,) = loaded.decode([bitstream.parse(loaded.encode(latent(), 0))])
    assert np.array_equal(received, np.rint(latent()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gain": np.ones(CHANNELS, np.float32)}, "expected a float32 tensor gain"),
        ({"median": np.ones((1, CHANNELS), np.float64)}, "expected a float32 tensor median"),
        ({"median": np.ones((2, CHANNELS), np.float32)}, r"median \(2, 5\)"),
        ({"gain": np.full((1, CHANNELS), np.nan, np.float32)}, "gain holds numbers"),
        ({"p0.offsets": np.full(CHANNELS, 32767, np.int32)}, "p0.: a table's symbols go beyond"),
        (laplace_tables([1.0]).to_arrays("p0."), "gains for"),
    ],
)
def test_a_file_that_does_not_hold_together_is_named(tmp_path, changes, said):
    path = tmp_path / "tables.safetensors"
    save_file(saved(**changes), path)
    with pytest.raises(BundleError, match=f"{path}.*{said}"):
        load(path, b"\1\2\3\4", (16, 16))


def test_a_file_without_points_is_refused(tmp_path):
    path = tmp_path / "tables.safetensors"
    none = {n: np.ones((0, CHANNELS), np.float32) for n in ("gain", "inverse_gain", "median")}
    save_file(none, path)
    with pytest.raises(BundleError, match="not empty"):
        load(path, b"\1\2\3\4", (16, 16))


def test_quantising_rounds_about_the_median_and_clips_to_int16():
    one = np.ones(1, np.float32)
    values = np.array([[[0.2, 0.8, 1e9, -1e9]]], np.float32)
    symbols = quantise(values, one * 2, one * 0.25)
    assert symbols.ravel().tolist() == [0, 1, 32767, -32767]
    restored = dequantise(symbols[..., :2], one / 2, one * 0.25)
    assert restored.ravel().tolist() == [0.125, 0.625]
