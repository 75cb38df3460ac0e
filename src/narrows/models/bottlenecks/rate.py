"""What a latent costs and how it is rounded, while it is learned: gains and factorised priors.

One model serves every operating point by gain vectors (Cui et al., "Asymmetric Gained Deep Image
Compression", CVPR 2021). The prior of a point is the histogram of its own symbols, kept as a moving
average: just what its integer table will hold, with nothing to learn and a fraction of the time
that a density network takes (docs/experiments.md). Under uniform noise (Ballé et al., ICLR 2018) a
piecewise constant density becomes the linear interpolation between neighbouring symbols, which is
what gives the encoder its gradient. The tail sees rounded values, gradients going straight through
(Minnen & Singh 2020).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.codec.frame import PointCoding
from narrows.codec.tables import CodingTables

REACH = 64  # largest symbol magnitude that the histograms hold
MEMORY = 0.98  # of a histogram, per batch
WIDE = 0.02  # share of a Laplace distribution mixed in, so that no symbol is impossible


class RatedBottleneck(nn.Module):
    """Rounds and prices a batch whose samples are grouped by operating point."""

    def __init__(self, channels: int, rates: tuple[float, ...], finest_gain: float = 4.0):
        """`rates`: lambda per point. Optimal step sizes grow about with its square root."""
        super().__init__()
        start = [math.log(finest_gain) - 0.4 * math.log(rate / rates[0]) for rate in rates]
        self.log_gain = nn.Parameter(torch.tensor(start)[:, None].repeat(1, channels))
        self.log_inverse = nn.Parameter(-self.log_gain.detach().clone())
        self.histogram: Tensor
        flat = _laplace(torch.full((len(rates), channels), 4.0))
        self.register_buffer("histogram", flat)  # (points, channels, symbols)

    @property
    def points(self) -> int:
        return len(self.log_gain)

    @torch.no_grad()
    def start(self, latent: Tensor) -> None:
        """Fit the steps to an untrained head: what rounds to zero everywhere teaches nothing."""
        scale = latent.float().std((0, 2, 3)).clamp_min(1e-6).log()
        self.log_gain.sub_(scale)
        self.log_inverse.add_(scale)

    @torch.no_grad()
    def begin(self, gain: Tensor, inverse_gain: Tensor) -> bool:
        """Take another model's steps (points, channels); False where they are not as many."""
        if gain.shape != self.log_gain.shape:
            return False
        self.log_gain.copy_(gain.log())
        self.log_inverse.copy_(inverse_gain.log())
        return True

    @torch.no_grad()
    def recall(self, tables: Sequence[CodingTables]) -> None:
        """Take the symbols' distributions that a bundle's tables were made of, point by point."""
        for point, found in enumerate(tables):
            arrays, starts = found.arrays, found.arrays.starts()
            for channel, first in enumerate(arrays.offsets):
                cdf = arrays.cdf[starts[channel] : starts[channel + 1]].astype(np.int64)
                mass = np.diff(cdf)[:-1]  # without the escape
                symbols = np.arange(first, first + len(mass))
                kept = abs(symbols) <= REACH
                row = torch.zeros(2 * REACH + 1)
                row[symbols[kept] + REACH] = torch.from_numpy(mass[kept]).float()
                self.histogram[point, channel] = row / row.sum().clamp_min(1)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (batch, channels, h, w), an equal share of the batch per point, in order.

        Returns the dequantised latent, same shape, and the bits per sample of each point (points,).
        """
        groups = latent.float().chunk(self.points)
        outputs, bits = [], []
        for index, y in enumerate(groups):
            scaled = y * self.log_gain[index].exp()[:, None, None]
            bits.append(self._bits(scaled, index) / len(y))
            rounded = scaled + (scaled.round() - scaled).detach()
            outputs.append(rounded * self.log_inverse[index].exp()[:, None, None])
        return torch.cat(outputs), torch.stack(bits)

    def _bits(self, scaled: Tensor, point: int) -> Tensor:
        """The whole group's, under uniform noise."""
        values = scaled.transpose(0, 1).flatten(1)  # (channels, samples)
        if self.training:
            self._remember(values.detach(), point)
            values = values + torch.rand_like(values) - 0.5
        else:
            values = values.round()
        mass = self._smoothed(self.histogram[point])
        within = values.clamp(-REACH, REACH - 1e-3)
        low = (
            within.detach().nan_to_num().floor()
        )  # a diverged run ends in the loop, not in a gather
        share = within - low
        index = (low + REACH).long()
        probability = (1 - share) * mass.gather(1, index) + share * mass.gather(1, index + 1)
        beyond = (values - within).abs()  # escapes: their price grows with their distance
        return (-torch.log2(probability) + beyond).sum()

    @torch.no_grad()
    def _remember(self, values: Tensor, point: int) -> None:
        seen = self._counts(values)
        self.histogram[point].lerp_(seen / seen.sum(1, keepdim=True), 1 - MEMORY)

    @staticmethod
    def _counts(values: Tensor) -> Tensor:
        """(channels, samples) -> how often each symbol occurs, (channels, 2 REACH + 1)."""
        symbols = (values.nan_to_num().round().clamp(-REACH, REACH) + REACH).long()
        counts = torch.zeros(len(values), 2 * REACH + 1, device=values.device)
        return counts.scatter_add_(1, symbols, torch.ones_like(values))

    @staticmethod
    def _smoothed(histogram: Tensor) -> Tensor:
        """(channels, symbols): a little of a wide Laplace distribution in it."""
        grid = torch.arange(-REACH, REACH + 1, device=histogram.device).abs()
        spread = (histogram * grid).sum(1) + 0.1
        return (1 - WIDE) * histogram + WIDE * _laplace(spread)

    @torch.no_grad()
    def measure(self, latents: list[Tensor]) -> None:
        """Set the histograms to those of latents (1, channels, h, w) as they will be coded."""
        for point in range(self.points):
            gain = self.log_gain[point].exp()[:, None]
            counts = sum(self._counts(y[0].flatten(1) * gain) for y in latents)
            assert isinstance(counts, Tensor)
            self.histogram[point] = counts / counts.sum(1, keepdim=True)

    @torch.no_grad()
    def point_codings(self, count: float = 1e6) -> list[PointCoding]:
        """Gains and integer tables, as a bundle holds them; `count`: symbols seen of a channel."""
        gains = self.log_gain.exp().cpu().numpy()
        inverses = self.log_inverse.exp().cpu().numpy()
        median = np.zeros(gains.shape[1], np.float32)  # training rounds about zero
        return [
            PointCoding(_tables(h, count), gain=gain, inverse_gain=inverse, median=median)
            for h, gain, inverse in zip(self.histogram.cpu(), gains, inverses, strict=True)
        ]


def _laplace(spread: Tensor) -> Tensor:
    """(..., ) mean magnitudes -> (..., symbols), normalised."""
    grid = torch.arange(-REACH, REACH + 1, device=spread.device).abs()
    mass = torch.exp(-grid / spread[..., None])
    return mass / mass.sum(-1, keepdim=True)


def _tables(histogram: Tensor, count: float) -> CodingTables:
    """Histogram (channels, symbols) with the weight of a few unseen symbols added."""
    grid = torch.arange(-REACH, REACH + 1).abs()
    spread = (histogram * grid).sum(1) + 0.1
    unseen = 20 / (count + 20)
    mass: NDArray = ((1 - unseen) * histogram + unseen * _laplace(spread)).double().numpy()
    return CodingTables.from_pmfs(list(mass), [-REACH] * len(mass))
