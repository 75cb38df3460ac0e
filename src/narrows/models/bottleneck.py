"""The learned bottleneck: gain vectors for variable rate, one factorised prior per operating point.

Gain vectors: Cui et al., "Asymmetric Gained Deep Image Compression", CVPR 2021. Factorised prior:
Ballé et al., ICLR 2018, as CompressAI's EntropyBottleneck. Rounding passes gradients straight
through for the tail while the rate sees uniform noise (Minnen & Singh 2020, mixed quantisation).
Only training needs this module: a bundle holds integer tables and gains.
"""

import math

import numpy as np
import torch
from compressai.entropy_models import EntropyBottleneck
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.codec.frame import PointCoding
from narrows.codec.tables import CodingTables

FILTERS = (3, 3)  # a smaller density model than CompressAI's default: a quarter of its time
REACH = 512  # largest symbol magnitude a table may hold; rarer ones are escaped


class RateBottleneck(nn.Module):
    """Quantises a batch whose samples are grouped by operating point, and prices it."""

    def __init__(self, channels: int, rates: tuple[float, ...], finest_gain: float = 4.0):
        """`rates`: lambda per point. Optimal step sizes grow about with its square root."""
        super().__init__()
        start = [math.log(finest_gain) - 0.4 * math.log(rate / rates[0]) for rate in rates]
        self.log_gain = nn.Parameter(torch.tensor(start)[:, None].repeat(1, channels))
        self.log_inverse = nn.Parameter(-self.log_gain.detach().clone())
        self.priors = nn.ModuleList(EntropyBottleneck(channels, filters=FILTERS) for _ in rates)
        for prior in self.priors:
            prior.quantiles.requires_grad_(False)  # only CompressAI's own coder uses them

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (batch, channels, h, w), an equal share of the batch per point, in order.

        Returns the dequantised latent, same shape, and the bits per sample of each point (points,).
        """
        latent = latent.float()
        groups = latent.chunk(len(self.priors))
        outputs, bits = [], []
        for y, gain, inverse, prior in zip(
            groups, self.log_gain.exp(), self.log_inverse.exp(), self.priors, strict=True
        ):
            scaled = y * gain[:, None, None]
            _, likelihood = prior(scaled)
            bits.append(-torch.log2(likelihood).sum() / len(y))
            rounded = scaled + (scaled.round() - scaled).detach()
            outputs.append(rounded * inverse[:, None, None])
        return torch.cat(outputs), torch.stack(bits)

    @torch.no_grad()
    def point_codings(self) -> list[PointCoding]:
        """The gains and integer tables of every point, as a bundle holds them."""
        gains, inverses = self.log_gain.exp().numpy(), self.log_inverse.exp().numpy()
        median = np.zeros(gains.shape[1], np.float32)  # training rounds about zero
        return [
            PointCoding(_tables(prior), gain=gain, inverse_gain=inverse, median=median)
            for prior, gain, inverse in zip(self.priors, gains, inverses, strict=True)
        ]


def _tables(prior: EntropyBottleneck) -> CodingTables:
    grid = torch.arange(-REACH, REACH + 1, dtype=torch.float32)
    grid = grid.repeat(prior.channels, 1, 1)  # (channels, 1, symbols)
    lower = prior._logits_cumulative(grid - 0.5, stop_gradient=True)
    upper = prior._logits_cumulative(grid + 0.5, stop_gradient=True)
    sign = -torch.sign(lower + upper)  # both tails in the sigmoid's precise half
    pmfs: NDArray = (
        (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs().double().numpy()
    )
    return CodingTables.from_pmfs(list(pmfs[:, 0]), [-REACH] * prior.channels)
