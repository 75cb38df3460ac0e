"""When a round ends, and what stands in for the parts that did not come: rules without a clock.

threshold      on secret shares: with the first R + 2A responses, which give everybody's sum
all            with everybody's
drop           at a deadline: parts that are not here count as zero
asynchronous   with the first part; for the others stand their last known ones of those records
               (Chen et al., "VAFL", 2020), zero before there was one

The coordinator keeps them with a real clock, `narrows bench straggling` with a virtual one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from narrows.sharing.fixed_point import Reals
from narrows.sharing.schedule import Rows

Waiting = Literal["threshold", "all", "drop", "asynchronous"]


@dataclass(frozen=True)
class Ended:
    """How a wait ended; who is here by then counts, even beyond what was waited for."""

    after_s: float  # inf: never
    here: frozenset[int]


@dataclass(frozen=True)
class Rule:
    """Wait for so many answers, but no longer than that after the question."""

    wanted: int
    until_s: float = math.inf

    def end(self, after_s: Mapping[int, float]) -> Ended:
        """after_s: when each party answers, in seconds from the question; inf: never."""
        times = sorted(after_s.values())
        enough_s = times[self.wanted - 1] if 0 < self.wanted <= len(times) else math.inf
        end_s = min(enough_s, self.until_s) if self.wanted else 0.0
        return Ended(end_s, frozenset(n for n, t in after_s.items() if t <= end_s < math.inf))


def rule(waiting: Waiting, parties: int, threshold: int, deadline_s: float) -> Rule:
    """threshold: R + 2A. deadline_s: of `drop`."""
    return {
        "threshold": Rule(threshold),
        "all": Rule(parties),
        "drop": Rule(parties, deadline_s),
        "asynchronous": Rule(1),
    }[waiting]


class KnownParts:
    """Each party's last known part of each record's sum."""

    def __init__(self, parties: int, segments: int, height: int, width: int) -> None:
        self._known = np.zeros((parties, segments, height, width))

    def total(self, rows: Rows, parts: Mapping[int, Reals]) -> Reals:
        """(K * b, e) sums of these rows, after (K * b, e) parts that came just now."""
        for party, part in parts.items():
            self._known[party][:, rows] = part.reshape(-1, len(rows), part.shape[1])
        total: Reals = self._known[:, :, rows].sum(0)
        return total.reshape(-1, total.shape[2])
