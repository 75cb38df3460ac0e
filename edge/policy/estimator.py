"""What the link does with a frame of some size, and how sure that is: from frames that came back.

An answer takes `base + bytes * per_byte` after what was queued before it: two numbers that wander,
followed by a Kalman filter, which also knows how unsure it is of sizes not sent lately. What it
cannot follow, jitter, is kept as it came: the latest normalised errors are the distribution that
deadlines are held against. Silence where an answer is due is a stall of unknown length.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import erf, sqrt

ERRORS = 120  # normalised errors that are remembered
PRIOR_ERRORS = 6.0  # weight of the normal distribution beside them
ROBUST = 3.0  # standard deviations beyond which an error does not move the estimate further
SURPRISES = 2  # errors beyond that in a row, after which they are believed
WANDER_PER_S = 0.02  # relative variance that a second adds to each number
SERVER_MEMORY = 0.2
REORDERED_S = 1.0  # an answer that comes later than its follower by more than this is lost
FASTEST = 8e-10  # seconds a byte: 10 Gbit/s
FORGOTTEN_S = 5.0  # overdue for so long, a frame is taken for lost: another may be tried


@dataclass
class _Sent:
    """A frame that has no answer yet."""

    size_bytes: float
    at_s: float
    ahead_s: float  # what was on the line before it
    due_s: float  # when its answer would be no surprise


class LinkEstimator:
    """Goodput, round trip and their uncertainty; instants are seconds of any one clock."""

    def __init__(self, base_s: float = 0.1, bits_per_s: float = 64e3):
        """Begin with a guess, the thinnest link there is, that the first answers overrule."""
        self._line = _Line(base_s, 8 / bits_per_s)
        self._noise = (0.3 * base_s) ** 2  # variance of what cannot be followed
        self._errors: deque[float] = deque(maxlen=ERRORS)
        self._sorted: list[float] = []
        self._sent: dict[int, _Sent] = {}
        self._line_free_s = 0.0
        self._sent_s, self._surprises = 0.0, 0
        self._updated_s: float | None = None
        self._answered_s, self._was_late = 0.0, False  # the newest answer
        self._down_since_s: float | None = None
        self._server_s = 0.0
        self.answers = 0

    @property
    def round_trip_s(self) -> float:
        """Of nothing, as estimated now."""
        return self._line.base_s

    @property
    def goodput_bits(self) -> float:
        """Bits a second, as estimated now."""
        return 8 / self._line.per_byte_s

    @property
    def waiting(self) -> int:
        """Frames without an answer."""
        return len(self._sent)

    def on_sent(self, frame_id: int, size_bytes: float, now_s: float) -> None:
        """A frame goes on the line now."""
        ahead_s = max(0.0, self._line_free_s - now_s)
        expected, deviation = self._predict(size_bytes)
        due_s = now_s + ahead_s + expected + 2 * deviation
        self._sent_s = now_s
        self._sent[frame_id] = _Sent(size_bytes, now_s, ahead_s, due_s)
        self._line_free_s = now_s + ahead_s + size_bytes * self._line.per_byte_s

    def on_answer(self, frame_id: int, server_s: float, now_s: float) -> None:
        """An answer came, however late; the server spent `server_s` of the time on it."""
        sent = self._sent.pop(frame_id, None)
        if sent is None:
            return
        self._forget(lambda other: other.at_s < sent.at_s and now_s > other.due_s + REORDERED_S)
        self._server_s += SERVER_MEMORY * (server_s - self._server_s)
        took_s = now_s - sent.at_s - server_s - sent.ahead_s
        behind = self._answered_s > sent.at_s and (sent.ahead_s > 0 or self._was_late)
        if behind:
            self._learn_gap(now_s - self._answered_s, sent.size_bytes)
        self._learn(took_s, sent.size_bytes, now_s, moves=not (behind and self._was_late))
        self._answered_s, self._was_late = now_s, now_s > sent.due_s
        self._line_free_s = self._freed_s(now_s - server_s)

    def _forget(self, lost: Callable[[_Sent], bool]) -> bool:
        """Drop frames whose answers will not come; whether there were any."""
        found = [frame_id for frame_id, sent in self._sent.items() if lost(sent)]
        for frame_id in found:
            del self._sent[frame_id]
        return bool(found)

    def _freed_s(self, answered_s: float) -> float:
        """When the line will be free, as seen from an answer: what is unanswered left after it."""
        free_s = answered_s - self._line.base_s
        for sent in self._sent.values():
            free_s = max(free_s, sent.at_s) + self.air_s(sent.size_bytes)
        return free_s

    def on_ping(self, round_trip_s: float, now_s: float) -> None:
        """A round trip of next to no bytes."""
        self._learn(round_trip_s, 0.0, now_s)

    def on_up(self) -> None:
        """A connection is there; what an earlier one carried is lost or sent again."""
        self._down_since_s = None
        self._sent.clear()
        self._line_free_s = 0.0

    def on_down(self, now_s: float) -> None:
        """The connection broke."""
        if self._down_since_s is None:
            self._down_since_s = now_s

    def silent_s(self, now_s: float) -> float:
        """Seconds since an answer was due that has not come; 0: none is."""
        if self._forget(lambda sent: now_s - sent.due_s > FORGOTTEN_S):
            self._line.slow_down()
        due_s = min((sent.due_s for sent in self._sent.values()), default=now_s)
        return max(0.0, now_s - due_s)

    def idle_s(self, now_s: float) -> float:
        """Seconds since a frame was sent; 0 while one has no answer, or there is no connection."""
        return 0.0 if self._sent or self._down_since_s is not None else now_s - self._sent_s

    def ahead_s(self, now_s: float) -> float:
        """Seconds that a frame sent now would wait for those before it."""
        return max(0.0, self._line_free_s - now_s)

    def air_s(self, size_bytes: float) -> float:
        """Seconds that so many bytes keep the line busy."""
        return size_bytes * self._line.per_byte_s

    def within(self, size_bytes: float, budget_s: float, now_s: float) -> float:
        """The probability that a frame sent now is answered in so many seconds."""
        if self._down_since_s is not None or budget_s <= 0:
            return 0.0
        expected, deviation = self._predict(size_bytes)
        left_s = budget_s - self.ahead_s(now_s) - expected - self._server_s
        if left_s <= 0 and deviation == 0:
            return 0.0
        z = left_s / max(deviation, 1e-6)
        below = bisect_right(self._sorted, z) + PRIOR_ERRORS * _normal(z)
        usual = below / (len(self._sorted) + PRIOR_ERRORS)
        return usual * self._ends_within(max(0.0, left_s), now_s)

    def _ends_within(self, left_s: float, now_s: float) -> float:
        """That a silence, if there is one, is over in time: d / (u + d) after a silence of u.

        A Pareto tail: what has lasted is likely to last as long again.
        """
        silent_s = self.silent_s(now_s)
        return 1.0 if silent_s == 0 else left_s / (silent_s + left_s)

    def _predict(self, size_bytes: float) -> tuple[float, float]:
        """Mean and standard deviation of an answer's time without queue and server, seconds."""
        variance = self._line.variance(1.0, size_bytes) + self._noise
        return self._line.base_s + size_bytes * self._line.per_byte_s, sqrt(variance)

    def _learn(self, took_s: float, size_bytes: float, now_s: float, moves: bool = True) -> None:
        """One step of the filter; errors beyond a few deviations pull no harder (Huber).

        One that only waited behind a silence `moves` nothing: it says how long that was.
        """
        elapsed_s = 0.0 if self._updated_s is None else max(0.0, now_s - self._updated_s)
        self._updated_s = now_s
        self._line.wander(min(elapsed_s, 10.0))
        expected, deviation = self._predict(size_bytes)
        error = took_s - expected
        limited = self._limited(error, deviation)
        self._errors.append(error / deviation)
        self._sorted = sorted(self._errors)
        self.answers += 1
        if not moves:
            return
        variance = self._line.variance(1.0, size_bytes) + self._noise  # doubt may have widened it
        self._line.update(1.0, size_bytes, limited, variance)
        if self.answers == 1:  # the guess's error, not the link's
            return
        share = max(0.05, 1 / self.answers)
        self._noise = max(self._noise + share * (limited**2 - self._noise), 1e-8)

    def _learn_gap(self, gap_s: float, size_bytes: float) -> None:
        """Two answers that followed each other on a busy line: the gap is the second's bytes.

        Packet pairs (Keshav, SIGCOMM 1991): they tell the rate without the round trip.
        """
        variance = self._line.variance(0.0, size_bytes) + self._noise
        error = gap_s - size_bytes * self._line.per_byte_s
        limited = self._limited(error, sqrt(variance))
        variance = self._line.variance(0.0, size_bytes) + self._noise  # doubt may have widened it
        self._line.update(0.0, size_bytes, limited, variance)

    def _limited(self, error: float, deviation: float) -> float:
        """The error that may pull; after some beyond it in a row the link is another one."""
        bound = ROBUST * deviation
        self._surprises = self._surprises + 1 if abs(error) > bound else 0
        if self._surprises > SURPRISES:
            self._line.doubt()
            return error
        return min(max(error, -bound), bound)


@dataclass
class _Line:
    """Base and seconds a byte, with their covariance: the Kalman filter's state."""

    base_s: float
    per_byte_s: float

    def __post_init__(self) -> None:
        self._bb, self._bp, self._pp = self.base_s**2, 0.0, self.per_byte_s**2

    def variance(self, base: float, size_bytes: float) -> float:
        """Of `base * base_s + size_bytes * per_byte_s`."""
        return (
            base * base * self._bb
            + 2 * base * size_bytes * self._bp
            + size_bytes * size_bytes * self._pp
        )

    def wander(self, seconds: float) -> None:
        """Time passed: both may have changed."""
        self._bb += self.base_s**2 * WANDER_PER_S * seconds
        self._pp += self.per_byte_s**2 * WANDER_PER_S * seconds

    def doubt(self) -> None:
        """Nothing is known well any more."""
        self._bb, self._bp, self._pp = self.base_s**2, 0.0, self.per_byte_s**2

    def slow_down(self) -> None:
        """Frames were lost: half the rate, as a sender of TCP takes after a timeout."""
        self.per_byte_s *= 2
        self._pp = max(self._pp, self.per_byte_s**2)

    def update(self, base: float, size_bytes: float, error: float, variance: float) -> None:
        """An observation of that sum was off by `error`, of which `variance` was expected."""
        to_base = base * self._bb + size_bytes * self._bp
        to_byte = base * self._bp + size_bytes * self._pp
        self.base_s = max(1e-5, self.base_s + to_base / variance * error)
        self.per_byte_s = max(FASTEST, self.per_byte_s + to_byte / variance * error)
        self._bb -= to_base * to_base / variance
        self._bp -= to_base * to_byte / variance
        self._pp -= to_byte * to_byte / variance


def _normal(z: float) -> float:
    return 0.5 * (1 + erf(z / sqrt(2)))
