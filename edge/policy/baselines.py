"""What the policy is compared with: one choice for every frame, and the usual rule of thumb."""

from collections.abc import Sequence

from narrows.edge.policy.menu import Choice
from narrows.edge.policy.policy import Decision, Moment

MARGIN = 0.8  # of a deadline that the rule plans with
MEMORY = 0.3  # weight of the newest measurement


class FixedPolicy:
    """The same for every frame, whatever the link does."""

    def __init__(self, choice: Choice, falls_back: bool = False):
        self.choice, self.falls_back = choice, falls_back

    def choose(self, moment: Moment) -> Decision:
        """The one there is."""
        return Decision(self.choice, "fixed", 1.0, self.choice.accuracy)

    def on_sent(self, frame_id: int, size_bytes: float, now_s: float) -> None:
        """Nothing to learn."""

    def on_answer(self, frame_id: int, server_s: float, now_s: float) -> None:
        """Nothing to learn."""

    def on_ping(self, round_trip_s: float, now_s: float) -> None:
        """Nothing to learn."""

    def on_refusal(self, cheaper_point: int | None, retry_s: float, now_s: float) -> None:
        """Nothing to learn."""


class EwmaPolicy:
    """The best choice whose bytes, at a moving average of throughput, fit most of the deadline.

    The rule of the slimmable demonstration (Assine et al., WoWMoM 2023): no uncertainty, no queue.
    """

    falls_back = False

    def __init__(self, menu: Sequence[Choice], deadline_s: float, bits_per_s: float = 64e3):
        self._menu = sorted(
            (c for c in menu if c.kind != "local"), key=lambda c: (-c.accuracy, c.wire_bytes)
        )
        self._deadline_s, self._bits = deadline_s, bits_per_s
        self._sent: dict[int, tuple[float, float]] = {}

    def choose(self, moment: Moment) -> Decision:
        """The most accurate that fits, or else the smallest."""
        left_s = MARGIN * self._deadline_s - moment.spent_s
        fits = [c for c in self._menu if c.wire_bytes * 8 / self._bits + c.extra_s <= left_s]
        choice = fits[0] if fits else min(self._menu, key=lambda c: c.wire_bytes)
        return Decision(choice, "rate", 1.0, choice.accuracy)

    def on_sent(self, frame_id: int, size_bytes: float, now_s: float) -> None:
        """Begin the measurement."""
        self._sent[frame_id] = now_s, size_bytes

    def on_answer(self, frame_id: int, server_s: float, now_s: float) -> None:
        """Bytes over the time they took, into the average."""
        if (sent := self._sent.pop(frame_id, None)) is not None:
            took_s = max(1e-6, now_s - sent[0] - server_s)
            self._bits += MEMORY * (sent[1] * 8 / took_s - self._bits)

    def on_ping(self, round_trip_s: float, now_s: float) -> None:
        """Nothing to learn."""

    def on_refusal(self, cheaper_point: int | None, retry_s: float, now_s: float) -> None:
        """Nothing to learn."""
