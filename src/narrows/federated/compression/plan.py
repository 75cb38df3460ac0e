"""One setting a layer, so that all together cost the fewest bits within an error budget.

L-GreCo's dynamic programme (Alimohammadi et al., MLSys 2024, arXiv 2210.17357): errors are counted
in equal shares of the budget, rounded up, and the least bits that spend at most so many shares are
found layer by layer. Rounding up means that the budget is kept, always.
"""

from collections.abc import Sequence

import numpy as np

BUCKETS = 10_000


def cheapest(
    errors: Sequence[Sequence[float]],
    bits: Sequence[Sequence[float]],
    budget: float,
    buckets: int = BUCKETS,
) -> list[int]:
    """The setting of each layer.

    errors, bits: of each layer, of each of its settings. When no choice keeps the budget, the one
    that leaves the least error in every layer.
    """
    least = [int(np.argmin(row)) for row in errors]
    if budget <= 0:
        return least
    costs = [np.ceil(np.asarray(row) / budget * buckets) for row in errors]
    best = np.zeros(buckets + 1)  # fewest bits of the layers so far, within so many shares
    taken: list[np.ndarray] = []
    for cost, price in zip(costs, bits, strict=True):
        spent = np.full(buckets + 1, np.inf)
        which = np.zeros(buckets + 1, np.int64)
        for setting, (shares, size) in enumerate(zip(cost, price, strict=True)):
            if shares > buckets:
                continue
            at = int(shares)
            offered = best[: buckets + 1 - at] + size
            better = offered < spent[at:]
            spent[at:][better], which[at:][better] = offered[better], setting
        best = spent
        taken.append(which)
    if not np.isfinite(best[buckets]):
        return least
    return _followed(taken, costs, buckets)


def _followed(taken: list[np.ndarray], costs: list[np.ndarray], buckets: int) -> list[int]:
    """Back from the last layer: what each took of the shares that were left."""
    chosen, left = [], buckets
    for which, cost in zip(reversed(taken), reversed(costs), strict=True):
        setting = int(which[left])
        chosen.append(setting)
        left -= int(cost[setting])
    return chosen[::-1]
