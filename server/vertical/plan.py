"""What a coordinator is asked to do, and the terms that come of it once the parties are known."""

from collections.abc import Sequence
from dataclasses import dataclass

from narrows.errors import ConfigError
from narrows.server.vertical.waiting import Rule, Waiting, rule
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.evaluation import degree_of
from narrows.sharing.fixed_point import FixedPoint
from narrows.sharing.parameters import SharingParameters, widest_code
from narrows.sharing.schedule import Schedule
from narrows.sharing.terms import Learning, Terms

MOST_BITS, FEWEST_BITS = 16, 4


@dataclass(frozen=True)
class Plan:
    """A session as its coordinator wants it.

    Raises:
        ConfigError: what cannot go together.
    """

    parties: int
    stragglers: int = 1  # S: so many may never answer
    privacy: int = 1  # T: so many together learn nothing
    wrong: int = 0  # A: so many wrong results are corrected
    factors: int = 1  # F: 1 linear, 2 quadratic
    width: int = 16  # e
    hidden: tuple[int, ...] = (32,)  # of the top network
    batch_rows: int = 32  # b: a round takes K * b records
    epochs: int = 10
    held_out: float = 0.2  # of the records, the last
    rate: float = 0.01
    seed: int = 0  # of the order and of the top network's first weights
    data_limit: float = 8.0
    weight_limit: float = 8.0
    waiting: Waiting = "threshold"
    protected: bool = True
    party_hidden: int = 0  # plain mode: units of each party's own hidden layer
    aligned: bool = False
    share_wait_s: float = 5.0
    deadline_s: float = 1.0  # of `drop`
    decoders: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"{self.held_out} of the records held out: expected 0 to below 1")
        kinds = ("threshold", "all") if self.protected else ("all", "drop", "asynchronous")
        if self.waiting not in kinds:
            how = "on secret shares" if self.protected else "in the clear"
            raise ConfigError(f"--wait {self.waiting} {how}: expected {' or '.join(kinds)}")
        names = [str(n) for n in range(self.parties)]
        self.terms("0" * 32, names, [1] * self.parties, 1000)  # raises where there are none

    @property
    def code(self) -> SharingParameters:
        """The code of most segments; in the clear for nothing but K = 1, b records a round."""
        degree = degree_of(self.factors)
        if not self.protected:
            return SharingParameters(self.parties, 1, 1, degree)
        return widest_code(self.parties, self.stragglers, self.privacy, degree, self.wrong)

    @property
    def rule(self) -> Rule:
        """When a round ends."""
        threshold = self.code.recovery_threshold + 2 * self.wrong
        return rule(self.waiting, self.parties, threshold, self.deadline_s)

    def terms(
        self, session: str, names: Sequence[str], columns: Sequence[int], records: int
    ) -> Terms:
        """Raises: ConfigError: no scale of 4 bits or more keeps the sums from wrapping around."""
        held_out = records if not self.epochs else round(records * self.held_out)
        schedule = Schedule(
            records, held_out, self.code.segments, self.batch_rows, self.epochs, self.seed
        )
        return Terms(
            session, tuple(names), self._bounds(tuple(columns)), self.width, schedule,
            Learning(self.rate), self.wrong, self.protected, self.party_hidden,
        )  # fmt: skip

    def _bounds(self, columns: tuple[int, ...]) -> SessionBounds:
        """The finest scales, alike for data and weights, for which no sum can wrap around."""
        for bits in range(MOST_BITS, FEWEST_BITS - 1, -1):
            data = FixedPoint(bits, float(self.data_limit))
            weights = FixedPoint(bits, float(self.weight_limit))
            try:
                return SessionBounds(self.code, data, weights, columns, self.factors)
            except ConfigError:
                if bits == FEWEST_BITS:
                    raise
        raise AssertionError("a bound held or raised")
