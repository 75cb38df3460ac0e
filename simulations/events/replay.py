"""Service times as one replica meets them: a batch is as slow as its neighbours in time were.

A machine's slow moments last: another's work, a cooler clock. Drawn one by one, samples would
scatter them, and queues that build up behind them would be missing. So batches take their places
among those of their size in the order in which a real server's came, from a random one on.
"""

from itertools import cycle, islice
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.simulations.events.service import ServiceTimes


class Replayed:
    """What a simulated replica draws its times from."""

    def __init__(self, times: "ServiceTimes", rng: Random):
        """`rng` says where in the order it begins."""
        self._times, self.loop_ms = times, times.loop_ms
        self._ranks = islice(cycle(times.ranks), rng.randrange(len(times.ranks)), None)

    def batch_ns(self, size: int, group: Any, rng: Random) -> int:
        """The next batch's, which has this many frames."""
        return self._times.batch_ns(size, group, next(self._ranks), rng)

    def answer_ns(self, size: int, rng: Random) -> int:
        """Drawn for one answer out of such a batch."""
        return self._times.answer_ns(size, rng)

    def arrival_ns(self, busy: bool, rng: Random) -> int:
        """Drawn for one frame."""
        return self._times.arrival_ns(busy, rng)
