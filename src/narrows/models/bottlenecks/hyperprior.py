"""A mean-scale hyperprior (Minnen, Ballé & Toderici, NeurIPS 2018) that is coded in integers.

Analysis as Entropic Student's: two 5x5 convolutions of stride 2, here padded so that any size
works. The synthesis is made for integers: 3x3 convolutions that unfold (Shi et al., CVPR 2016)
where the paper has transposed ones, and ReLU for its leaky form. It gives a scale as an index into
a geometric table, so that rounding it is all that coding adds.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.codec.hyper import HyperCodec, gaussian_tables
from narrows.codec.synthesis import (
    FRACTION,
    LARGEST,
    SCALES,
    SMALLEST,
    WEIGHT_LIMIT,
    IntegerSynthesis,
    Layer,
)
from narrows.models.bottlenecks.rate import RatedBottleneck

STEP = (math.log(LARGEST) - math.log(SMALLEST)) / (SCALES - 1)  # between neighbours' logarithms


class HyperBottleneck(nn.Module):
    """Rounds and prices a batch of one operating point."""

    points = 1

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.analysis = nn.Sequential(
            nn.Conv2d(channels, hidden, 5, 2, 2), nn.ReLU(), nn.Conv2d(hidden, hidden, 5, 2, 2)
        )
        self.synthesis = nn.ModuleList(
            [
                nn.Conv2d(hidden, 4 * hidden, 3, padding=1),
                nn.Conv2d(hidden, 4 * channels, 3, padding=1),
                nn.Conv2d(channels, 2 * channels, 3, padding=1),
            ]
        )
        self.hyper = RatedBottleneck(hidden, (1.0,), finest_gain=1.0)
        self.hyper.log_gain.requires_grad_(False)
        self.hyper.log_inverse.requires_grad_(False)
        # As RatedBottleneck's gains: an untrained head's latents are brought to a few steps.
        self.log_gain = nn.Parameter(torch.zeros(channels))
        self.log_inverse = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def start(self, latent: Tensor) -> None:
        """Fit the steps to an untrained head."""
        scale = (latent.float().std((0, 2, 3)).clamp_min(1e-6) / 4).log()
        self.log_gain.sub_(scale)
        self.log_inverse.add_(scale)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (batch, channels, h, w) -> dequantised, same shape, and bits per sample (1,)."""
        y = latent.float() * self.log_gain.exp()[:, None, None]
        z, z_bits = self.hyper(self.analysis(y))
        mean, index = self._predicted(z, y.shape)
        residual = y - mean
        noisy = residual + torch.rand_like(y) - 0.5 if self.training else residual.round()
        bits = _gaussian_bits(noisy, torch.exp(math.log(SMALLEST) + STEP * index))
        rounded = mean + residual + (residual.round() - residual).detach()
        return rounded * self.log_inverse.exp()[:, None, None], z_bits + bits.sum() / len(y)

    def _predicted(self, z: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        first, second, last = self.synthesis
        x = torch.relu(F.pixel_shuffle(first(z), 2))
        x = last(torch.relu(F.pixel_shuffle(second(x), 2)))[:, :, : shape[2], : shape[3]]
        mean, index = x.chunk(2, 1)
        return mean, index.clamp(0, SCALES - 1)

    @torch.no_grad()
    def hyperlatent(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (1, channels, h, w) -> what is coded of it, and of it its hyperlatent."""
        y = latent.float() * self.log_gain.exp()[:, None, None]
        return y, self.analysis(y)

    @torch.no_grad()
    def measure(self, latents: list[Tensor]) -> None:
        """Count the hyperlatent's symbols as they will be coded."""
        self.hyper.measure([self.hyperlatent(y)[1] for y in latents])

    @torch.no_grad()
    def codec(self) -> HyperCodec:
        """Integer synthesis and tables, as both sides need them."""
        layers = [_fixed(conv, doubles=n < 2) for n, conv in enumerate(self.synthesis)]
        (hyper,) = self.hyper.point_codings()
        return HyperCodec(IntegerSynthesis(tuple(layers)), hyper.tables, gaussian_tables())


def _fixed(conv: nn.Module, doubles: bool) -> Layer:
    """A float convolution in fixed point, with as many fraction bits as its weights allow."""
    weight: NDArray = conv.weight.detach().double().cpu().numpy()  # type: ignore[union-attr, operator]
    bias: NDArray = conv.bias.detach().double().cpu().numpy()  # type: ignore[union-attr, operator]
    shift = min(14, math.floor(math.log2(WEIGHT_LIMIT / max(np.abs(weight).max(), 1e-9))))
    shift = max(0, shift)
    return Layer(
        np.rint(weight * 2.0**shift).astype(np.int32),
        np.rint(bias * 2.0 ** (shift + FRACTION)).astype(np.int64),
        shift,
        doubles,
    )


def _gaussian_bits(values: Tensor, scale: Tensor) -> Tensor:
    """-log2 of the mass of [v - 1/2, v + 1/2], both ends in the distribution's lower half."""
    away = values.abs()
    root = scale * math.sqrt(2)
    mass = (torch.erfc((away - 0.5) / root) - torch.erfc((away + 0.5) / root)) / 2
    return -torch.log2(mass.clamp_min(1e-9))
