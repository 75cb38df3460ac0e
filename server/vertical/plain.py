"""A round in the clear, the baseline: nothing is protected, the coordinator sees every part."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import SharingError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical.asking import Question, fetch
from narrows.server.vertical.gradients import Gradients
from narrows.server.vertical.standing import Standing
from narrows.server.vertical.waiting import KnownParts, Rule
from narrows.sharing.party import reals
from narrows.sharing.terms import Terms


class PlainSums:
    """Asks for a step's parts of the sum, and adds up."""

    def __init__(
        self, ingress: Any, terms: Terms, standing: Standing, rule: Rule, known: KnownParts | None
    ) -> None:
        """`known`: where last known parts stand in for those that did not come."""
        self._ingress, self._terms, self._standing = ingress, terms, standing
        self._names = dict(enumerate(terms.parties))
        self._rule, self._known = rule, known
        self.unverified = 0
        self.fresh: frozenset[int] = frozenset()
        self.bytes = 0

    @property
    def wanted(self) -> int:
        """Parties without which a round cannot go on."""
        return self._rule.wanted if math.isinf(self._rule.until_s) else 1

    @property
    def standing_in(self) -> dict[int, pb.Shares]:
        """No shares: parts are asked for anew in each round."""
        return {}

    def sums(self, round: int, step: int, gradients: Gradients) -> NDArray[np.float64] | None:
        """(K * b, e) of that step; None: too few took part."""
        contents = {}
        for n in self._names:
            asked = pb.Embed(round=round, step=step, gradients=gradients.missing(n))
            contents[n] = pb.CoordinatorMessage(embed=asked).SerializeToString()
        question = Question(self._ingress, self._names, contents)
        until_s = None if math.isinf(self._rule.until_s) else self._rule.until_s
        answers = question.wait("embedding", self._rule.wanted, until_s)
        self._standing.answered(question.after_s, contents)
        if len(answers.good) < self.wanted:
            return None
        self.fresh = frozenset(answers.good)
        rows = self._terms.schedule.step(step).rows
        parts = {}
        for n, body in answers.good.items():
            embedding = pb.Embedding.FromString(fetch(body))
            self.bytes += len(embedding.values)
            gradients.learnt(n, embedding.learnt_round)
            parts[n] = self._part(n, embedding, len(rows))
        if self._known is not None:
            return self._known.total(rows, parts)
        return np.sum(list(parts.values()), axis=0)  # type: ignore[no-any-return]

    def _part(self, party: int, embedding: pb.Embedding, rows: int) -> NDArray[np.float64]:
        shape = (self._terms.schedule.segments * rows, self._terms.width)
        try:
            return reals(embedding.values, shape[0] * shape[1]).reshape(shape)
        except SharingError as error:
            raise SharingError(f"{self._names[party]}: {error}") from None
