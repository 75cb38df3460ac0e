"""One choice a frame: the highest expected accuracy by its deadline, at the price of what it takes.

A choice is worth its accuracy if its answer comes in time and the device's own if not, which stands
by in either case. Prices are taken off: of energy, where there is a budget; of heat, while there is
too much of it; and of the line, since what is queued now makes later frames late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from narrows.edge.policy.energy import EnergyBudget, EnergyModel
from narrows.edge.policy.estimator import LinkEstimator
from narrows.edge.policy.exit import ExitAnswer
from narrows.edge.policy.menu import Choice
from narrows.edge.policy.risk import NEVER

Why = Literal["best", "confident", "link", "probe", "refused", "fixed", "rate"]
LINE_PRICE = 0.15  # in accuracy, of a backlog that takes up a whole deadline
HEAT_PRICE = 0.02  # in accuracy, of as much energy as the head took, while the board is hot
WORTH = 0.005  # accuracy that sending a frame must gain
PROBE_S = 2.0  # after so long without a frame one is sent to see whether the link is better
RESERVE = 0.03  # share of a deadline kept for the device itself
HINT_S = 1.0  # for so long a server's hint to send less holds


@dataclass(frozen=True)
class Moment:
    """A frame whose features are there, at the instant of the choice."""

    now_s: float
    spent_s: float  # since its capture
    device_s: float  # of the device's own work, until an answer of its own
    own: ExitAnswer | None = None
    one_in: int = 1  # frames so many times fewer than usual are taken: the board is hot


@dataclass(frozen=True)
class Decision:
    """What was chosen, and why."""

    choice: Choice
    why: Why
    in_time: float  # the probability it was given
    expected: float  # the accuracy expected, before prices

    def to_json(self) -> dict[str, str | float]:
        """As in a frame's record."""
        return {
            "choice": str(self.choice),
            "why": self.why,
            "in_time": round(self.in_time, 4),
            "expected": round(self.expected, 4),
        }


class Policy(Protocol):
    """Anything that chooses; it hears what became of what it sent."""

    falls_back: bool  # the device's own answer stands in for one that is late

    def choose(self, moment: Moment) -> Decision:
        """What to do with this frame."""
        ...

    def on_sent(self, frame_id: int, size_bytes: float, now_s: float) -> None:
        """It goes on the line now."""
        ...

    def on_answer(self, frame_id: int, server_s: float, now_s: float) -> None:
        """Its answer is here, in time or not."""
        ...

    def on_ping(self, round_trip_s: float, now_s: float) -> None:
        """A round trip of next to no bytes."""
        ...

    def on_refusal(self, cheaper_point: int | None, retry_s: float, now_s: float) -> None:
        """The server had no time: it may name a point that leaves it more."""
        ...


class DeadlinePolicy:
    """Deadline, energy and risk, against what the link is believed to do."""

    falls_back = True

    def __init__(
        self,
        menu: Sequence[Choice],
        deadline_s: float,
        period_s: float = 0.0,
        threshold: float = NEVER,
        energy: EnergyBudget | None = None,
        link: LinkEstimator | None = None,
    ):
        """`menu` as `menu_of` makes it. `period_s`: between frames; 0: as fast as answers come.

        `threshold`: own answers at least as sure, of familiar frames, are kept (edge/policy/risk).
        """
        self.menu, self.deadline_s, self.period_s = tuple(menu), deadline_s, period_s
        self.threshold, self.energy = threshold, energy
        self._model = EnergyModel() if energy is None else energy.model
        self.link = link if link is not None else LinkEstimator(deadline_s / 3)
        self.on_sent, self.on_answer = self.link.on_sent, self.link.on_answer
        self.on_ping = self.link.on_ping
        self._own = next(choice for choice in self.menu if choice.kind == "local")
        self._refused_until_s = 0.0
        self._hint: tuple[int, float] = (0, 0.0)  # the finest point allowed, until then

    def choose(self, moment: Moment) -> Decision:
        """What to do with this frame; charges the energy it is expected to take."""
        decision = self._decide(moment)
        if self.energy is not None:
            self.energy.charge(self._joules(decision.choice, moment))
        return decision

    def on_refusal(self, cheaper_point: int | None, retry_s: float, now_s: float) -> None:
        """The server had no time: it may name a point that leaves it more."""
        self._refused_until_s = max(self._refused_until_s, now_s + retry_s)
        if cheaper_point is not None:
            self._hint = cheaper_point, now_s + HINT_S

    def _decide(self, moment: Moment) -> Decision:
        own = moment.own
        if own is not None and own.familiar and own.confidence >= self.threshold:
            return Decision(self._own, "confident", 1.0, self._own.accuracy)
        if moment.now_s < self._refused_until_s:
            return Decision(self._own, "refused", 1.0, self._own.accuracy)
        allowed = [choice for choice in self.menu if self._allowed(choice, moment)]
        rated = [self._rated(choice, moment) for choice in allowed]
        best = max(rated, key=lambda pair: pair[0])[1]
        if best.why == "link" and self.link.idle_s(moment.now_s) > PROBE_S:
            smallest = min((c for c in self.menu if c.kind != "local"), key=lambda c: c.wire_bytes)
            return replace(best, choice=smallest, why="probe")
        return best

    def _allowed(self, choice: Choice, moment: Moment) -> bool:
        finest, until_s = self._hint
        return choice.kind != "packet" or moment.now_s >= until_s or choice.level >= finest

    def _rated(self, choice: Choice, moment: Moment) -> tuple[float, Decision]:
        familiar = moment.own is None or moment.own.familiar
        fallback = self._own.accuracy if familiar else 0.0
        price = self._heat_price(choice, moment)
        if self.energy is not None:
            price += self.energy.price(self._joules(choice, moment))
        if choice.kind == "local":
            return fallback - price, Decision(choice, "link", 1.0, fallback)
        left_s = self.deadline_s * (1 - RESERVE) - moment.spent_s - choice.extra_s
        chance = self.link.within(choice.wire_bytes, left_s, moment.now_s)
        expected = chance * choice.accuracy + (1 - chance) * fallback
        waiting_s = self.link.ahead_s(moment.now_s) + self.link.silent_s(moment.now_s)
        backlog_s = waiting_s + self.link.air_s(choice.wire_bytes)
        period_s = self.period_s * moment.one_in
        price += LINE_PRICE * max(0.0, backlog_s - period_s) / self.deadline_s
        return expected - price - WORTH, Decision(choice, "best", chance, expected)

    def _joules(self, choice: Choice, moment: Moment) -> float:
        air_s = self.link.air_s(choice.wire_bytes)
        return self._model.joules(choice, moment.device_s, air_s)

    def _heat_price(self, choice: Choice, moment: Moment) -> float:
        """What a choice adds to the head's energy is dear while that is too much already.

        No budget of joules a frame is drawn tighter: fewer frames a second do that for all of them.
        """
        head_j = self._model.compute_w * max(moment.device_s, 1e-6)
        hot = 1 - 1 / moment.one_in
        return HEAT_PRICE * hot * (self._joules(choice, moment) / head_j - 1)
