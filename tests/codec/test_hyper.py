"""The hyperprior's integers: exact, the same in any order, and never wrong silently."""

from math import erfc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from narrows.codec.hyper import HyperCodec, gaussian_tables
from narrows.codec.synthesis import IntegerSynthesis, Layer, scale_table
from narrows.codec.tables import CodingTables
from narrows.errors import BundleError, PacketError, ShapeError

CHANNELS, HIDDEN = 3, 4
GOLDEN = Path(__file__).parent / "golden" / "hyper.safetensors"


def layer(rng, out: int, inputs: int, doubles: bool) -> Layer:
    weight = rng.integers(-900, 900, (out, inputs, 3, 3)).astype(np.int32)
    return Layer(weight, rng.integers(-(1 << 18), 1 << 18, out), 12, doubles)


def synthesis(seed: int = 0) -> IntegerSynthesis:
    rng = np.random.default_rng(seed)
    return IntegerSynthesis(
        (
            layer(rng, 4 * HIDDEN, HIDDEN, True),
            layer(rng, 4 * CHANNELS, HIDDEN, True),
            layer(rng, 2 * CHANNELS, CHANNELS, False),
        )
    )


def codec(seed: int = 0) -> HyperCodec:
    pmf = np.exp(-np.abs(np.arange(-20, 21)) / 3)
    hyper = CodingTables.from_pmfs([pmf] * HIDDEN, [-20] * HIDDEN)
    return HyperCodec(synthesis(seed), hyper, gaussian_tables())


def frame(height: int, width: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(0, 6, (CHANNELS, height, width)).astype(np.float32)
    z = rng.normal(0, 4, (HIDDEN, -(-height // 4), -(-width // 4))).astype(np.float32)
    return latent, z


def convolved(x: np.ndarray, one: Layer) -> np.ndarray:
    """The definition, in Python's own integers."""
    out, inputs = one.weight.shape[:2]
    height, width = x.shape[1:]
    y = np.zeros((out, height, width), np.int64)
    for o in range(out):
        for r in range(height):
            for c in range(width):
                total = int(one.bias[o])
                for i in range(inputs):
                    for dr in range(3):
                        for dc in range(3):
                            rr, cc = r + dr - 1, c + dc - 1
                            if 0 <= rr < height and 0 <= cc < width:
                                total += int(one.weight[o, i, dr, dc]) * int(x[i, rr, cc])
                half = (1 << one.shift) >> 1
                y[o, r, c] = min(1 << 20, max(-(1 << 20), (total + half) >> one.shift))
    return y


def test_a_layer_is_the_integer_convolution():
    rng = np.random.default_rng(1)
    one = layer(rng, 5, HIDDEN, False)
    x = rng.integers(-(1 << 20), 1 << 20, (HIDDEN, 5, 6))
    np.testing.assert_array_equal(one.run(x), convolved(x, one))


def test_the_order_of_a_sum_does_not_matter():
    rng = np.random.default_rng(2)
    one, order = layer(rng, 6, HIDDEN, False), rng.permutation(HIDDEN)
    other = Layer(one.weight[:, order], one.bias, one.shift, False)
    x = rng.integers(-(1 << 20), 1 << 20, (HIDDEN, 9, 7))
    np.testing.assert_array_equal(one.run(x), other.run(x[order]))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_any_size_comes_back_to_within_half_a_step(height, width, seed):
    latent, z = frame(height, width, seed)
    restored = codec().decode(codec().encode(latent, z), height, width)
    assert np.abs(restored - latent).max() <= 0.5 + 1e-4


def test_golden_bytes_are_written_and_read_by_every_build():
    """Tables come from the file: those of this processor's exp need not be the device's."""
    golden = load_file(GOLDEN)
    ours = HyperCodec.from_arrays(golden)
    data = ours.encode(golden["latent"], golden["hyperlatent"])
    assert data == golden["bytes"].tobytes()
    restored = ours.decode(data, *golden["latent"].shape[1:])
    np.testing.assert_array_equal(restored, golden["restored"])


def test_a_codec_survives_its_file_and_one_of_other_channels_is_refused():
    data = codec().encode(*frame(9, 10))
    arrays = codec().to_arrays()
    again = HyperCodec.from_arrays(arrays).decode(data, 9, 10)
    np.testing.assert_array_equal(again, codec().decode(data, 9, 10))
    swapped = {k: v for k, v in arrays.items() if not k.startswith("hyper.")}
    swapped |= codec().gaussian.to_arrays("hyper.")
    with pytest.raises(BundleError, match="hyperprior"):
        HyperCodec.from_arrays(swapped)
    with pytest.raises(BundleError):
        HyperCodec.from_arrays({k: v for k, v in arrays.items() if k != "gaussian.cdf"})


def test_bytes_are_near_what_the_gaussians_cost():
    _, z = frame(40, 40)
    symbols = np.rint(z).astype(np.int16)
    means, index = synthesis().run(symbols, 40, 40)
    scale = scale_table()[index]
    rng = np.random.default_rng(5)
    residual = np.rint(rng.normal(size=means.shape) * scale)
    cdf = np.vectorize(lambda v: erfc(-v / 2**0.5) / 2)
    away = np.abs(residual)
    bits = -np.log2(cdf((0.5 - away) / scale) - cdf((-0.5 - away) / scale)).sum()
    hyper_bits = codec().hyper.cost_bits(symbols)
    size = len(codec().encode((means + residual).astype(np.float32), z))
    assert size == pytest.approx((bits + hyper_bits) / 8, rel=0.01, abs=40)


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_an_error_and_never_another_latent(position, value):
    latent, z = frame(9, 10)
    data = codec().encode(latent, z)
    position %= len(data)
    damaged = data[:position] + bytes([value]) + data[position + 1 :]
    if damaged == data:
        return
    with pytest.raises(PacketError):
        codec().decode(damaged, 9, 10)


@pytest.mark.parametrize("length", [0, 3, 10, 30])
def test_cut_bytes_are_an_error(length):
    with pytest.raises(PacketError):
        codec().decode(codec().encode(*frame(9, 10))[:length], 9, 10)


def test_another_model_or_size_is_an_error():
    data = codec().encode(*frame(9, 10))
    with pytest.raises(PacketError):
        codec(seed=1).decode(data, 9, 10)
    with pytest.raises(PacketError):
        codec().decode(data, 13, 10)
    with pytest.raises(ShapeError, match="expected a hyperlatent"):
        codec().encode(frame(9, 10)[0], frame(20, 10)[1])


def test_a_synthesis_survives_its_file_and_a_bad_one_is_refused():
    arrays = synthesis().to_arrays()
    again = IntegerSynthesis.from_arrays(arrays)
    z = np.rint(frame(9, 10)[1]).astype(np.int16)
    for got, expected in zip(again.run(z, 9, 10), synthesis().run(z, 9, 10), strict=True):
        np.testing.assert_array_equal(got, expected)
    for change in (
        {"synthesis.0.weight": arrays["synthesis.0.weight"] * 1000},
        {"synthesis.1.weight": arrays["synthesis.1.weight"][:, :2]},
        {"synthesis.1.bias": arrays["synthesis.1.bias"].astype(np.float32)},
        {"synthesis.2.form": np.array([99, 0], np.int32)},
    ):
        with pytest.raises(BundleError):
            IntegerSynthesis.from_arrays(arrays | change)


def test_a_synthesis_with_other_means_but_the_same_scales_is_an_error():
    latent, z = frame(9, 10)
    ours = codec()
    *layers, last = ours.synthesis.layers
    bias = last.bias.copy()
    bias[0] += 10 << 18  # ten steps on the first channel's mean, no table changes
    moved = IntegerSynthesis((*layers, Layer(last.weight, bias, last.shift, last.doubles)))
    other = HyperCodec(moved, ours.hyper, ours.gaussian)
    with pytest.raises(PacketError):
        other.decode(ours.encode(latent, z), 9, 10)


def test_a_latent_without_three_axes_is_an_error():
    with pytest.raises(ShapeError, match="expected a latent"):
        codec().encode(np.zeros((3, 9), np.float32), frame(9, 10)[1])


@pytest.mark.parametrize(
    "change",
    [
        {"synthesis.0.bias": np.full(4 * HIDDEN, np.iinfo(np.int64).min)},
        {"synthesis.0.weight": np.full((4 * HIDDEN, HIDDEN, 3, 3), np.iinfo(np.int32).min)},
        {"synthesis.2.form": np.array([np.nan, 0])},
    ],
    ids=["bias", "weight", "form"],
)
def test_numbers_that_could_overflow_are_refused_at_load(change):
    change = {k: v.astype(np.int32) if k.endswith("weight") else v for k, v in change.items()}
    with pytest.raises(BundleError):
        IntegerSynthesis.from_arrays(synthesis().to_arrays() | change)
