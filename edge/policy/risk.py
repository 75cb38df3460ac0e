"""How sure the device must be to keep its own answer, so that little is lost: risk control.

The loss of a frame is 1 where its own answer is kept and wrong while the full network's would be
right: keeping fewer can only lose less. `in_expectation` is conformal risk control (Angelopoulos
et al., ICLR 2024): E[loss] <= alpha, over calibration sets too. `with_confidence` is a
risk-controlling prediction set (Bates et al., JACM 2021) with the exact binomial tail: the loss is
at most alpha for all but a share delta of calibration sets. Both hold for frames like those that
were calibrated on.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError

NEVER = math.inf  # a threshold that keeps nothing


@dataclass(frozen=True, eq=False)
class Calibration:
    """Photographs on which nothing was fitted: confidence of the own answer, and what it loses."""

    confidence: NDArray[np.float32]  # (n,); below 0 where it may not be kept at all: unfamiliar
    lost: NDArray[np.bool_]  # (n,): wrong where the full network is right

    def kept_and_lost(self, threshold: float) -> tuple[float, float]:
        """Shares of all frames: answered by the device, and lost by that."""
        kept = self.confidence >= threshold
        return float(kept.mean()), float((kept & self.lost).mean())


def in_expectation(calibration: Calibration, alpha: float) -> float:
    """The lowest threshold with (losses + 1) / (n + 1) <= alpha; NEVER where there is none."""
    _check(alpha)
    n = len(calibration.lost)
    return _lowest(calibration, math.floor(alpha * (n + 1) + 1e-9) - 1)


def with_confidence(calibration: Calibration, alpha: float, delta: float) -> float:
    """The lowest threshold whose losses would be as few by chance at most a share delta of times.

    That is, P(Binomial(n, alpha) <= losses) <= delta: if the true loss were alpha or more.
    """
    _check(alpha)
    _check(delta)
    n, most, below = len(calibration.lost), -1, 0.0
    while most + 1 <= n and (below := below + _binomial(n, most + 1, alpha)) <= delta:
        most += 1
    return _lowest(calibration, most)


def _lowest(calibration: Calibration, most_lost: int) -> float:
    """The lowest confidence such that of those at least as sure no more are lost."""
    if most_lost < 0:
        return NEVER
    order = np.argsort(-calibration.confidence, kind="stable")
    sure, losses = calibration.confidence[order], np.cumsum(calibration.lost[order])
    # With equal confidences all are kept or none: the count is the last one's.
    last = np.searchsorted(-sure, -sure, side="right") - 1
    allowed = np.flatnonzero((losses[last] <= most_lost) & (sure >= 0))
    return float(sure[allowed[-1]]) if len(allowed) else NEVER


def _binomial(n: int, k: int, p: float) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p))


def _check(share: float) -> None:
    if not 0 < share < 1:
        raise ConfigError(f"a share of {share:g} that may be lost: expected more than 0, below 1")
