"""Does risk control hold? Many random splits: calibrate on one half, count losses on the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.edge.policy.risk import Calibration, in_expectation, with_confidence
from narrows.simulations.early_exit.calibrate import calibration_of
from narrows.simulations.early_exit.table import Table

DELTA = 0.01  # of `with_confidence`: small, since the half that is counted varies as well


def run_splits(table: Table, alpha: float, splits: int = 100, seed: int = 0) -> dict[str, Any]:
    """For both ways of control: in how many splits the loss stayed at alpha or below, and more.

    `lost` is the share of frames that were kept, wrong, and right by the full network, which is
    what is controlled; `points` is the difference of accuracies, in which a kept answer that is
    right where the full network is wrong counts too.
    """
    calibration = calibration_of(table)
    gained = table.own_right & ~table.full_right
    rng, found = np.random.default_rng(seed), dict[str, list[tuple[float, float, float]]]()
    for _ in range(splits):
        order = rng.permutation(len(gained))
        fit, held_out = np.array_split(order, 2)
        half = Calibration(calibration.confidence[fit], calibration.lost[fit])
        for name, threshold in (
            ("in_expectation", in_expectation(half, alpha)),
            ("with_confidence", with_confidence(half, alpha, DELTA)),
        ):
            found.setdefault(name, []).append(_counted(calibration, gained, held_out, threshold))
    return {"alpha": alpha, "splits": splits} | {
        name: _summary(np.array(rows), alpha) for name, rows in found.items()
    }


def _counted(
    calibration: Calibration, gained: NDArray[np.bool_], rows: NDArray, threshold: float
) -> tuple[float, float, float]:
    """Shares of the held-out frames: kept, lost, and points lost on balance."""
    kept = calibration.confidence[rows] >= threshold
    lost = float((kept & calibration.lost[rows]).mean())
    return float(kept.mean()), lost, lost - float((kept & gained[rows]).mean())


def _summary(rows: NDArray[np.float64], alpha: float) -> dict[str, float]:
    kept, lost, points = rows.T
    return {
        "kept": float(kept.mean()),
        "lost": float(lost.mean()),
        "points": float(points.mean()),
        "lost_within_alpha": int((lost <= alpha).sum()),
        "points_within_alpha": int((points <= alpha).sum()),
    }
