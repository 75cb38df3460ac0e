"""The hyperprior as it is trained, and its integers beside its floating point."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from torch import Tensor

from narrows.models.bottlenecks.hyperprior import HyperBottleneck

CHANNELS, HIDDEN = 8, 6


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def latents(count: int, height: int, width: int, seed: int) -> Tensor:
    """Correlated: deviations vary slowly over a picture, as the hyperlatent can tell."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, CHANNELS, 4, 4, generator=rng)
    scale = F.interpolate(coarse, (height, width), mode="bilinear").mul(1.2).exp()
    return scale * torch.randn(count, CHANNELS, height, width, generator=rng)


@pytest.fixture(scope="module")
def trained(one_thread) -> HyperBottleneck:
    torch.manual_seed(0)
    model = HyperBottleneck(CHANNELS, HIDDEN).train()
    model.start(latents(16, 24, 24, 0))
    model.log_gain.requires_grad_(False)  # rate alone would shrink every latent to nothing
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learned, 5e-3)
    for step in range(150):
        _, bits = model(latents(4, 24, 24, step + 1))
        optimiser.zero_grad()
        bits.sum().backward()
        optimiser.step()
    model.eval().measure([latents(1, 24, 24, 1000 + n) for n in range(40)])
    return model


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 30), (7, 7), (9, 13), (28, 28)])
def test_any_size_keeps_its_shape(trained, height, width):
    latent = latents(2, height, width, 1)
    restored, bits = trained(latent)
    assert restored.shape == latent.shape
    assert bits.shape == (1,)
    assert bits.isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(5, 30), (9, 13), (28, 28)])
def test_integers_are_near_the_floating_point_they_were_made_from(trained, height, width):
    latent = latents(1, height, width, 7)
    with torch.no_grad():
        y, z = trained.hyperlatent(latent)
        means, indexes = trained._predicted(z.round(), y.shape)
    symbols = z[0].round().numpy().astype(np.int16)
    got_means, got_indexes = trained.codec().synthesis.run(symbols, height, width)
    assert np.abs(got_means - means[0].numpy()).mean() < 1 / 32
    assert np.abs(got_indexes - indexes[0].numpy()).max() < 0.75  # half of it by rounding


def test_bytes_are_near_the_bits_that_training_counts(trained):
    for seed in range(2000, 2004):
        latent = latents(1, 24, 24, seed)
        with torch.no_grad():
            _, bits = trained(latent)
            y, z = trained.hyperlatent(latent)
        size = len(trained.codec().encode(y[0].numpy(), z[0].numpy()))
        assert abs(size - bits.item() / 8) < 0.03 * bits.item() / 8 + 30


def test_what_the_server_decodes_is_what_training_saw(trained):
    latent = latents(1, 13, 9, 3)
    with torch.no_grad():
        expected, _ = trained(latent)
        y, z = trained.hyperlatent(latent)
    codec = trained.codec()
    restored = torch.from_numpy(codec.decode(codec.encode(y[0].numpy(), z[0].numpy()), 13, 9))
    step = trained.log_inverse.exp()[:, None, None]
    # Where a residual lies at a half, a mean that differs by 1/64 may round to the other side.
    apart = ((restored - expected[0] / step).abs() > 1 / 8).float().mean()
    assert apart < 0.05
    assert (restored - y[0]).abs().max() <= 0.5 + 1e-3
