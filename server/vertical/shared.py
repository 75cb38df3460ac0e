"""A round on secret shares: weights and masks from whoever is here, the sum from any R of them."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical.asking import Answers, Question, fetch
from narrows.server.vertical.decoding import Decoders, Verdict
from narrows.server.vertical.gradients import Gradients
from narrows.server.vertical.standing import Standing
from narrows.server.vertical.waiting import Rule
from narrows.sharing.fixed_point import dequantise
from narrows.sharing.terms import Terms

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Late:
    """A question for shares that a holder has not answered yet: it is asked nothing else."""

    round: int
    question: Question


class SharedSums:
    """Asks for a step's sums on shares."""

    def __init__(
        self,
        ingress: Any,
        terms: Terms,
        standing: Standing,
        decoders: Decoders,
        share_wait_s: float,
        rule: Rule,
    ) -> None:
        """`share_wait_s`: how long a round waits for the shares of a party that was there before.

        `rule`: for how many responses; for all of them is what this protocol does without.
        """
        self._ingress, self._terms, self._standing = ingress, terms, standing
        self._names = dict(enumerate(terms.parties))
        self._decoders, self._share_wait_s, self._rule = decoders, share_wait_s, rule
        # Everybody's latest shares, sealed: what is not here in time is done with these.
        self._held: dict[int, pb.Shares] = {}
        self._late: dict[int, Late] = {}
        self.fresh: frozenset[int] = frozenset()
        self.unverified = 0  # rounds without a response beyond R to check them by
        self.bytes = 0  # that passed here, both ways

    @property
    def wanted(self) -> int:
        """Responses that end a round: fewer by those found wrong, whom no slow one replaces."""
        found_out = len(self._names) - len(self._standing.evaluators)
        least = self._terms.bounds.parameters.recovery_threshold
        return max(least, self._rule.wanted - found_out)

    def sums(self, round: int, step: int, gradients: Gradients) -> NDArray[np.float64] | None:
        """(K * b, e) of that step; None: too few took part, and the step is to be done again."""
        self._share(round, step, gradients)
        holders = self._standing.holders
        self.fresh = frozenset(
            n for n in holders if n in self._held and self._held[n].round == round
        )
        if len(self.fresh) <= self._terms.bounds.parameters.privacy:
            return None
        verdict = self._evaluate(round, step)
        if verdict.sums is None:
            return None
        bounds = self._terms.bounds
        sums = dequantise(verdict.sums, bounds.scale_bits, bounds.parameters.prime)
        return sums.reshape(-1, self._terms.width)

    @property
    def standing_in(self) -> dict[int, pb.Shares]:
        """The shares that parties' parts are computed with while they are away."""
        holders, expected = self._standing.holders, self._standing.expected
        return {n: self._held[n] for n in holders if n in self._held and n not in expected}

    def stand_in(self, shares: Mapping[int, pb.Shares]) -> None:
        """As before the coordinator ended."""
        for n in self._names.keys() & shares.keys():
            self._held[n] = shares[n]
            self._standing.parties[n].away = True

    def _share(self, round: int, step: int, gradients: Gradients) -> None:
        self._hear_late(gradients)
        contents = {}
        for n in self._standing.holders:
            if n not in self._late:
                asked = pb.Share(round=round, step=step, gradients=gradients.missing(n))
                contents[n] = pb.CoordinatorMessage(share=asked).SerializeToString()
                self.bytes += len(contents[n])
        question = Question(self._ingress, self._names, contents)
        question.wait_for("shares", self._standing.expected, self._share_wait_s)
        while self._too_few(question) and any(map(question.waits_for, contents)):
            question.wait("shares", len(question.answers.good) + 1)
        self._refused(question.answers)
        for n in contents:
            in_time = self._hold(n, round, question.answers, gradients)
            self._standing.shared(n, in_time)
            if question.waits_for(n):
                self._late[n] = Late(round, question)

    def _too_few(self, question: Question) -> bool:
        """Whether there is no round yet with those who have answered."""
        parameters, answers = self._terms.bounds.parameters, question.answers
        free = [
            m
            for m in self._evaluators()
            if m not in answers.gone and m not in answers.refused and not question.waits_for(m)
        ]
        fresh, least = len(answers.good), parameters.recovery_threshold
        return fresh <= parameters.privacy or len(free) < least

    def _hear_late(self, gradients: Gradients) -> None:
        """Shares that came too late for their round stand in for newer ones, without their mask.

        With fewer evaluators than R a round waits for them.
        """
        least = self._terms.bounds.parameters.recovery_threshold
        for n, late in list(self._late.items()):
            short = len(self._evaluators()) < least
            late.question.wait_for("shares", [n], None if short else 0.0)
            if not late.question.waits_for(n):
                del self._late[n]
                self._hold(n, late.round, late.question.answers, gradients)

    def _hold(self, holder: int, round: int, answers: Answers, gradients: Gradients) -> bool:
        """Whether its shares of that round are there."""
        if holder not in answers.good:
            return False
        shares = pb.Shares.FromString(fetch(answers.good[holder]))
        if shares.round != round or len(shares.sealed) != len(self._names):
            return False
        self._held[holder] = shares
        self.bytes += sum(len(sealed) for sealed in shares.sealed)
        gradients.learnt(holder, shares.learnt_round)
        return True

    def _evaluators(self) -> list[int]:
        return [m for m in self._standing.evaluators if m not in self._late]

    def _evaluate(self, round: int, step: int) -> Verdict:
        holders = {n: held for n, held in self._held.items() if n in self._standing.holders}
        versions = [holders[n].round if n in holders else 0 for n in self._names]
        contents = {}
        for m in self._evaluators():
            sealed = [holders[n].sealed[m] if n in holders else b"" for n in self._names]
            asked = pb.Evaluate(round=round, step=step, versions=versions, sealed=sealed)
            contents[m] = pb.CoordinatorMessage(evaluate=asked).SerializeToString()
            self.bytes += len(contents[m])
        question = Question(self._ingress, self._names, contents)
        rows = len(self._terms.schedule.step(step).rows)
        about = round, rows, self._terms.versions_digest(round, versions)
        wanted, verdict = self.wanted, Verdict(None)
        while True:
            answers = question.wait("response", wanted)
            if len(answers.good) < self._terms.bounds.parameters.recovery_threshold:
                break
            verdict = self._decoders.decode(about, answers.good)
            if verdict.sums is not None or len(answers.good) < wanted:
                break
            log.warning("round %d: %s: waiting for more responses", round, verdict.problem)
            wanted = len(answers.good) + 1
        self._judge(question, answers, verdict, list(contents))
        self.bytes += len(answers.good) * rows * self._terms.width * 8
        return verdict

    def _judge(
        self, question: Question, answers: Answers, verdict: Verdict, asked: list[int]
    ) -> None:
        self._refused(answers)
        self._standing.answered(question.after_s, asked)
        self._standing.found_wrong(verdict.wrong)
        self.unverified += verdict.sums is not None and not verdict.surplus
        # Up to T of those who complain may lie; a holder that more complain of is at fault.
        accused = Counter(h for said in answers.complaints.values() for h in set(said.holders))
        for holder, complaints in accused.items():
            if complaints > self._terms.bounds.parameters.privacy and holder in self._names:
                self._standing.exclude(holder, complaints)

    def _refused(self, answers: Answers) -> None:
        for party, why in answers.refused.items():
            log.warning("%s refuses: %s", self._names[party], why)
