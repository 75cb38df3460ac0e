"""The frames of a race: what each would cost and give by every choice of a menu.

From photographs measured one by one, or, where there are none, from a manifest's averages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from narrows.edge.policy.exit import ExitAnswer
from narrows.edge.policy.menu import Choice, Kind

if TYPE_CHECKING:  # it needs torch, a race of averages does not
    from narrows.simulations.early_exit.table import Table


@dataclass(frozen=True, eq=False)
class Workload:
    """n frames and m choices; a race takes the frames in turn."""

    menu: tuple[Choice, ...]
    wire_bytes: NDArray[np.float64]  # (n, m); 0 for the device's own answer
    worth: NDArray[np.float64]  # (n, m): 1 right, 0 wrong, or an expected accuracy
    own: tuple[ExitAnswer | None, ...]  # (n,)

    def column(self, choice: Choice) -> int:
        """The choice's place in the menu."""
        return self.menu.index(choice)


def averages(menu: tuple[Choice, ...]) -> Workload:
    """One frame, which is worth every choice's average."""
    sizes = np.array([[choice.wire_bytes for choice in menu]])
    return Workload(menu, sizes, np.array([[c.accuracy for c in menu]]), (None,))


def measured(table: Table, seed: int) -> Workload:
    """The table's photographs in a random order; the menu has their means."""
    order = np.random.default_rng(seed).permutation(len(table.own))
    own_bytes = np.zeros((len(table.own), 1))
    sizes = np.hstack([table.packet_bytes, table.image_bytes, own_bytes])
    worth = np.hstack([table.packet_right, table.image_right, table.own_right[:, None]])
    points = table.packet_bytes.shape[1]
    kinds: list[tuple[Kind, int, float]] = [("packet", p, 0.0) for p in range(points)]
    kinds += [
        ("image", q, float(np.median(table.image_s[:, i]))) for i, q in enumerate(table.qualities)
    ]
    kinds.append(("local", 0, 0.0))
    menu = tuple(
        Choice(kind, level, float(sizes[:, i].mean()), float(worth[:, i].mean()), extra_s)
        for i, (kind, level, extra_s) in enumerate(kinds)
    )
    return Workload(
        menu, sizes[order], worth[order].astype(float), tuple(table.own[i] for i in order)
    )
