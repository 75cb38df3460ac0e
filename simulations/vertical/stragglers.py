"""Waiting in virtual time: when every round of a session would end, whatever is learnt in it.

A party's answer takes the same time for arithmetic and the way back and forth, `compute_s`, and
what it straggles. In the clear a round is one question. On secret shares it is two: for shares of
weights, from all parties, and for results. Held-out passes are not on the clock,
as long as they end.

Straggling (who straggles, and how late each is in each round, is decided by the seed):

none          nobody
some          S parties, by an exponential delay of the given mean, drawn anew in each round
everyone      all, by such a delay
slow          one party, by ten times the mean, always
dying         S parties stop answering, one after the other, in the middle third of the training
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

import numpy as np

from narrows.errors import ConfigError
from narrows.server.vertical.waiting import Ended, Rule
from narrows.sharing.fixed_point import Reals
from narrows.sharing.schedule import Schedule

Straggling = Literal["none", "some", "everyone", "slow", "dying"]
KINDS: tuple[str, ...] = get_args(Straggling)
SLOW = 10  # means


@dataclass(frozen=True)
class Stragglers:
    """How late everybody is."""

    kind: Straggling
    parties: int
    count: int  # S
    mean_s: float
    steps: int  # of the session
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"straggling {self.kind!r}: expected one of {', '.join(KINDS)}")

    @property
    def who(self) -> list[int]:
        """Those that straggle."""
        number = {"none": 0, "everyone": self.parties, "slow": 1}.get(self.kind, self.count)
        order = np.random.default_rng([self.seed, 2]).permutation(self.parties)
        return sorted(order[:number].tolist())

    def delays_s(self, step: int, question: int) -> Reals:
        """(N,) of that question of that step; inf: no answer any more."""
        delays = np.zeros(self.parties)
        if self.kind == "slow":
            delays[self.who] = SLOW * self.mean_s
        elif self.kind == "dying":
            deaths = self.steps * (1 + np.arange(1, self.count + 1) / (self.count + 1)) / 3
            delays[self.who] = np.where(step >= deaths, math.inf, 0.0)
        else:
            rng = np.random.default_rng([self.seed, step, question])
            delays[self.who] = rng.exponential(self.mean_s, self.parties)[self.who]
        return delays


@dataclass(frozen=True)
class Round:
    """What waiting made of one step."""

    ends_s: float  # on the clock of the whole training; inf: it never ends
    shared: frozenset[int]  # whose weights of now are in it; the others' are as last shared
    here: frozenset[int]  # whose answers are in it


@dataclass(frozen=True)
class Clock:
    """What is not a party's own."""

    compute_s: float  # of any answer
    share_wait_s: float | None  # for late shares of weights; None: only results straggle


def in_the_clear(
    schedule: Schedule, rule: Rule, stragglers: Stragglers, clock: Clock
) -> list[Round]:
    """One question a round. If nobody is there at a deadline, the round ends with the first."""
    everybody = frozenset(range(stragglers.parties))
    ended = []
    for step in range(len(schedule)):
        after_s = _answers_s(stragglers, clock, step, 1)
        end = rule.end(after_s)
        nobody = not end.here and rule.until_s < math.inf
        ended.append(Rule(1).end(after_s) if nobody else end)
    return _on_the_clock(schedule, ended, [everybody] * len(ended))


def on_shares(schedule: Schedule, rule: Rule, stragglers: Stragglers, clock: Clock) -> list[Round]:
    """Shares of weights first; who was late with them once is not waited for until they come.

    Who has died shares nothing any more either, and is in the sum with its last weights.
    """
    ended, shared = [], []
    expected = frozenset(range(stragglers.parties))
    for step in range(len(schedule)):
        after_s = _answers_s(stragglers, clock, step, 0)
        if clock.share_wait_s is None:
            after_s = {n: clock.compute_s if t < math.inf else t for n, t in after_s.items()}
        wait_s = clock.compute_s + (clock.share_wait_s or 0.0)
        first = Rule(len(expected), wait_s).end({n: after_s[n] for n in expected})
        expected = frozenset(n for n, t in after_s.items() if t <= first.after_s)
        second = rule.end(_answers_s(stragglers, clock, step, 1))
        shared.append(expected)
        ended.append(Ended(first.after_s + second.after_s, second.here))
    return _on_the_clock(schedule, ended, shared)


def _answers_s(stragglers: Stragglers, clock: Clock, step: int, question: int) -> dict[int, float]:
    delays = stragglers.delays_s(step, question) + clock.compute_s
    return dict(enumerate(delays.tolist()))


def _on_the_clock(
    schedule: Schedule, ended: Sequence[Ended], shared: Sequence[frozenset[int]]
) -> list[Round]:
    taken = [
        e.after_s if schedule.step(i).training or e.after_s == math.inf else 0.0
        for i, e in enumerate(ended)
    ]
    return [
        Round(ends_s, whose, end.here)
        for ends_s, whose, end in zip(accumulate(taken), shared, ended, strict=True)
    ]
