"""The training loop: a step's sums, the top network's gradient for the next, until all steps are.

It waits for nobody in particular: a step that too few took part in is done again when enough are
back.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from narrows.errors import SessionError
from narrows.server.samples import Sample
from narrows.server.vertical.checkpoint import Epoch, Progress
from narrows.server.vertical.gradients import Gradients
from narrows.server.vertical.standing import Standing
from narrows.server.vertical.top import NO_LABEL, Learner
from narrows.sharing.terms import Terms

log = logging.getLogger(__name__)
ATTEMPTS = 5  # of one step, with enough parties there each time


class Sums(Protocol):
    """How a step's sums come about."""

    unverified: int
    bytes: int
    fresh: frozenset[int]  # whose weights of the last round are in its sums

    @property
    def wanted(self) -> int: ...

    def sums(self, round: int, step: int, gradients: Gradients) -> NDArray[np.float64] | None: ...


class Coordinator:
    """One session, from its first round or from where it was."""

    def __init__(
        self,
        terms: Terms,
        labels: NDArray[np.int64],
        learner: Learner,
        sums: Sums,
        standing: Standing,
        progress: Progress,
        gradients: Gradients,
    ) -> None:
        """labels: (records,) in the agreed order, NO_LABEL where there is none."""
        self.terms, self.learner, self.standing = terms, learner, standing
        # NO_LABEL, not 0, is what a segment is filled up with
        self._labels = terms.schedule.arrange(labels - NO_LABEL) + NO_LABEL
        self._sums, self.progress, self.gradients = sums, progress, gradients
        shape = (terms.schedule.segments, terms.schedule.height, 0)
        self._logits = np.zeros(shape, np.float32)
        self.round_s: list[float] = []
        self.ends_epoch = False  # the step before did

    def run(
        self, wait_for: Callable[[int], None], on_step: Callable[["Coordinator"], None]
    ) -> None:
        """All steps that are left. `wait_for`: returns when so many parties are here.

        Raises:
            SessionError: a step fails again and again with enough parties here: too many are wrong.
        """
        began_s, before_s = time.monotonic(), self.progress.seconds
        while self._in_mid_pass():  # what a pass over the held-out records gave is not kept
            self.progress.step -= 1
        while self.progress.step < len(self.terms.schedule):
            step = self.terms.schedule.step(self.progress.step)
            sums = self._sums_of(self.progress.step, wait_for)
            self.progress.seconds = before_s + time.monotonic() - began_s
            labels = self._labels[:, step.rows].reshape(-1)
            if step.training:
                learnt = self.learner.learn(sums, labels)
                self.progress.losses.append(learnt.loss)
                self.gradients.add(
                    self.progress.round, self.progress.step, learnt.gradient, self._sums.fresh
                )
            else:
                self._note(step.rows, self.learner.logits(sums))
            self.progress.step += 1
            self.ends_epoch = self._ends_epoch(step.epoch)
            if self.ends_epoch:
                self._end_epoch(step.epoch)
            on_step(self)

    def predictions(self) -> NDArray[np.float32]:
        """(held-out records, classes) logits of the last pass over them, in the agreed order.

        Empty before there was one.
        """
        schedule = self.terms.schedule
        if not self._logits.size:
            return np.zeros((0, 0), np.float32)
        held_out = self._logits[:, schedule.heights[0] :]
        return held_out.reshape(-1, held_out.shape[2])[: schedule.held_out]

    def samples(self) -> list[Sample]:
        """For the console and Prometheus."""
        told = {
            "step": self.progress.step, "steps": len(self.terms.schedule),
            "round": self.progress.round, "relayed_bytes": self._sums.bytes,
            "unverified_rounds": self._sums.unverified,
            "round_seconds": self.round_s[-1] if self.round_s else 0.0,
            "loss": self.progress.losses[-1] if self.progress.losses else 0.0,
        }  # fmt: skip
        accuracy = [e.accuracy for e in self.progress.epochs if e.accuracy is not None]
        told |= {"accuracy": accuracy[-1]} if accuracy else {}
        own = [(f"narrows_federated_{k}", dict[str, str](), float(v)) for k, v in told.items()]
        return [*own, *self.standing.samples()]

    def _sums_of(self, step: int, wait_for: Callable[[int], None]) -> NDArray[np.float64]:
        for _ in range(ATTEMPTS):
            wait_for(self._sums.wanted)
            began_s = time.monotonic()
            self.progress.round += 1
            sums = self._sums.sums(self.progress.round, step, self.gradients)
            if sums is not None:
                self.round_s.append(time.monotonic() - began_s)
                return sums
            log.warning("step %d: too few right answers in round %d", step, self.progress.round)
        raise SessionError(
            f"step {step} failed {ATTEMPTS} times with {self._sums.wanted} parties here: found out "
            f"so far: {self.standing.named}"
        )

    def _in_mid_pass(self) -> bool:
        step = self.progress.step
        if not 0 < step < len(self.terms.schedule):
            return False
        here, before = self.terms.schedule.step(step), self.terms.schedule.step(step - 1)
        return not here.training and not before.training

    def _note(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        if self._logits.shape[2] == 0:
            self._logits = np.zeros((*self._logits.shape[:2], logits.shape[1]), np.float32)
        self._logits[:, rows] = logits.reshape(-1, len(rows), logits.shape[1])

    def _ends_epoch(self, epoch: int) -> bool:
        after = self.progress.step
        return after == len(self.terms.schedule) or self.terms.schedule.step(after).epoch != epoch

    def _end_epoch(self, epoch: int) -> None:
        held_out = self._labels[:, self.terms.schedule.heights[0] :].reshape(-1)
        labels = held_out[: self.terms.schedule.held_out]
        known, accuracy = labels != NO_LABEL, None
        if known.any():
            accuracy = float((self.predictions().argmax(1) == labels)[known].mean())
        loss = float(np.mean(self.progress.losses)) if self.progress.losses else 0.0
        self.progress.epochs.append(Epoch(epoch, loss, accuracy, self.progress.seconds))
        self.progress.losses = []
