"""What a replica has learned of its own pace: how fast frames come and how long batches take.

From it follow two decisions: whether a frame can still make its deadline, and whether a batch that
is not full should wait for more.
"""

from dataclasses import dataclass

MEMORY = 0.9  # of the averages, per event
DENSE = 20  # arrivals in the time of a batch: below that, waiting gains nothing
LONGEST = 0.1  # of a batch's time that it may wait for more


@dataclass
class Pace:
    """Averages that forget; nanoseconds throughout."""

    gap_ns: float = 0.0  # between arrivals
    batch_ns: float = 0.0  # of a batch
    frame_ns: float = 0.0  # of a frame within one
    _arrived_ns: int = 0

    def arrived(self, now_ns: int) -> None:
        """A frame came in."""
        if self._arrived_ns:
            self.gap_ns = _moved(self.gap_ns, now_ns - self._arrived_ns)
        self._arrived_ns = now_ns

    def served(self, frames: int, took_ns: int) -> None:
        """A batch is done."""
        self.batch_ns = _moved(self.batch_ns, took_ns)
        self.frame_ns = _moved(self.frame_ns, took_ns / frames)

    def until_answered_ns(self, ahead: int, busy: bool) -> float:
        """Of a frame that arrives now behind `ahead` others; 0 where nothing is known yet."""
        return self.frame_ns * (ahead + 1) + (self.batch_ns / 2 if busy else 0.0)

    def wait_ns(self, missing: int, slack_ns: float) -> float:
        """How long a batch that lacks `missing` frames should wait for them.

        Nothing unless frames come much faster than batches go, and never more than a tenth of a
        batch's time, nor half of what the most urgent frame can spare.
        """
        if missing <= 0 or not self.gap_ns or self.gap_ns * DENSE > self.batch_ns:
            return 0.0
        return max(0.0, min(missing * self.gap_ns, LONGEST * self.batch_ns, slack_ns / 2))


def _moved(mean: float, value: float) -> float:
    return value if not mean else MEMORY * mean + (1 - MEMORY) * value
