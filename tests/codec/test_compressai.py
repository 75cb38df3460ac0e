"""CompressAI's models on this coder: the same tensors, no more bytes, errors for bad strings."""

import copy
import pickle
import threading
from itertools import chain

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("compressai", reason="needs the train extra")

from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.models import FactorizedPrior, MeanScaleHyperprior, ScaleHyperprior

from narrows.codec.compressai import accelerate
from narrows.errors import ChecksumError, ConfigError, NarrowsError, TruncatedPacket

pytestmark = pytest.mark.filterwarnings("ignore")
HEADER = 12  # what a string adds; the rest may exceed CompressAI's by what 14-bit tables lose
SCALES = np.geomspace(0.11, 64, 64).tolist()


def bottleneck(channels=6):
    torch.manual_seed(0)
    model = EntropyBottleneck(channels)
    model.quantiles.data[:, 0, 1] = torch.rand(channels) - 0.5
    model.update(update_quantiles=False)
    return model


def conditional():
    model = GaussianConditional(SCALES)
    model.update()
    return model


def latents(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3


def scaled(shape=(2, 5, 9, 7), lowest=0.05):
    """Latents, the scales they follow and means."""
    scales = lowest * torch.exp(latents(*shape, seed=1).abs())
    scales = scales.clamp(max=SCALES[-1])
    means = latents(*shape, seed=2)
    return latents(*shape, seed=3) / 3 * scales + means, scales, means


@pytest.mark.parametrize("make", [FactorizedPrior, ScaleHyperprior, MeanScaleHyperprior])
def test_a_model_reconstructs_what_it_did(make):
    torch.manual_seed(1)
    model = make(6, 8).eval()
    model.update()
    x = torch.rand(2, 3, 64, 64) * 20
    theirs = model.compress(x)
    expected = model.decompress(**theirs)["x_hat"]
    fast = accelerate(copy.deepcopy(model))
    ours = fast.compress(x)
    assert torch.equal(fast.decompress(**ours)["x_hat"], expected)
    pairs = zip(chain(*ours["strings"]), chain(*theirs["strings"]), strict=True)
    for a, b in pairs:
        assert a != b
        assert len(a) <= 1.001 * len(b) + HEADER


@pytest.mark.parametrize(
    "shape", [(1, 6, 1, 1), (3, 6, 5, 4), (2, 6, 40, 40), (2, 6, 11), (0, 6, 2, 2)]
)
def test_a_bottleneck_gives_the_same_tensor(shape):
    model, x = bottleneck(), latents(*shape)
    theirs = model.compress(x)
    expected = model.decompress(theirs, shape[2:]) if shape[0] else x
    fast = accelerate(copy.deepcopy(model))
    ours = fast.compress(x)
    assert torch.equal(fast.decompress(ours, shape[2:]), expected)
    assert all(len(a) <= 1.001 * len(b) + HEADER for a, b in zip(ours, theirs, strict=True))


def test_symbols_far_outside_the_tables_survive():
    model, x = bottleneck(), latents(1, 6, 4, 4)
    x[0, :, 0, 0] = torch.tensor([500.0, -500.0, 30000.0, -30000.0, 11.0, -11.0])
    expected = model.decompress(model.compress(x), (4, 4))
    fast = accelerate(model)
    assert torch.equal(fast.decompress(fast.compress(x), (4, 4)), expected)


@pytest.mark.parametrize("lowest", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("with_means", [True, False])
def test_a_conditional_gives_the_same_tensor(lowest, with_means):
    y, scales, means = scaled(lowest=lowest)
    means = means if with_means else None
    model = conditional()
    indexes = model.build_indexes(scales)
    theirs = model.compress(y, indexes, means)
    expected = model.decompress(theirs, indexes, means=means)
    fast = accelerate(copy.deepcopy(model))
    ours = fast.compress(y, indexes, means)
    assert torch.equal(fast.decompress(ours, indexes, means=means), expected)
    assert all(len(a) <= 1.001 * len(b) + HEADER for a, b in zip(ours, theirs, strict=True))


def test_channels_last_and_half_precision_come_out_as_float():
    fast = accelerate(bottleneck())
    x = latents(2, 6, 5, 4).half()
    expected = fast.decompress(fast.compress(x.float()), (5, 4))
    strings = fast.compress(x.contiguous(memory_format=torch.channels_last))
    assert torch.equal(fast.decompress(strings, (5, 4)), expected)


def test_accelerating_twice_or_copying_or_pickling_changes_nothing():
    x = latents(1, 6, 8, 8)
    model = accelerate(bottleneck())
    strings = model.compress(x)
    for other in (accelerate(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        assert other.compress(x) == strings
    assert model.state_dict().keys() == bottleneck().state_dict().keys()


def test_tables_follow_update_and_checkpoints():
    x = latents(1, 6, 8, 8)
    model = accelerate(bottleneck())
    before = model.compress(x)
    wider = bottleneck()
    for matrix in wider.matrices:
        matrix.data += 0.3
    wider.update(force=True)
    model.load_state_dict(wider.state_dict())
    after = model.compress(x)
    assert after != before
    assert after == accelerate(wider).compress(x)
    with pytest.raises(ChecksumError, match="another model"):
        model.decompress(before, (8, 8))


def test_before_update_there_are_no_tables():
    model = accelerate(EntropyBottleneck(4))
    with pytest.raises(ValueError, match="update"):
        model.compress(latents(1, 4, 2, 2))


def test_a_model_without_entropy_models_is_refused():
    with pytest.raises(ConfigError, match="EntropyBottleneck"):
        accelerate(torch.nn.Linear(2, 2))


def test_any_cut_is_an_error():
    model = accelerate(bottleneck())
    (string,) = model.compress(latents(1, 6, 8, 8))
    for length in range(len(string)):
        with pytest.raises(TruncatedPacket):
            model.decompress([string[:length]], (8, 8))
    with pytest.raises(NarrowsError, match="announces"):
        model.decompress([string + b"\0"], (8, 8))


def test_any_flipped_bit_is_an_error():
    model = accelerate(bottleneck())
    (string,) = model.compress(latents(1, 6, 3, 3))
    for bit in range(8 * len(string)):
        flipped = bytearray(string)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NarrowsError):
            model.decompress([bytes(flipped)], (3, 3))


def test_another_size_or_other_indexes_are_errors():
    model, x = accelerate(bottleneck()), latents(1, 6, 8, 8)
    with pytest.raises(ChecksumError, match="latent size"):
        model.decompress(model.compress(x), (8, 7))
    y, scales, means = scaled()
    gauss = accelerate(conditional())
    indexes = gauss.build_indexes(scales)
    strings = gauss.compress(y, indexes, means)
    indexes[0, 0, 0, 0] += 1 if indexes[0, 0, 0, 0] < 63 else -1
    with pytest.raises(ChecksumError):
        gauss.decompress(strings, indexes, means=means)


def test_indexes_beyond_the_scale_table_are_refused():
    gauss, y = accelerate(conditional()), latents(1, 2, 3, 3)
    with pytest.raises(ValueError, match="64 tables"):
        gauss.compress(y, torch.full(y.shape, 64))


def test_a_string_of_their_coder_is_named_as_such():
    model, x = bottleneck(), latents(1, 6, 8, 8)
    theirs = model.compress(x)
    with pytest.raises(NarrowsError, match="the coder that wrote it"):
        accelerate(model).decompress(theirs, (8, 8))


def test_threads_share_a_model():
    model = accelerate(bottleneck())
    inputs = [latents(2, 6, 16, 16, seed=s) for s in range(4)]
    expected = [model.decompress(model.compress(x), (16, 16)) for x in inputs]
    found = [None] * len(inputs)

    def work(i):
        for _ in range(20):
            found[i] = model.decompress(model.compress(inputs[i]), (16, 16))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
