"""Asking all parties at once, and going on when enough have answered."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from narrows.protos.narrows.v1 import vertical_pb2 as pb

Ref = Any  # ray.ObjectRef


@dataclass
class Answers:
    """What came of one question to many: bodies stay where they are until somebody needs them."""

    good: dict[int, Ref] = field(default_factory=dict)  # party -> the body, serialised
    complaints: dict[int, pb.Complaint] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)  # and why
    gone: set[int] = field(default_factory=set)


class Question:
    """One question, asked of many parties."""

    def __init__(self, ingress: Any, names: Mapping[int, str], contents: Mapping[int, bytes]):
        """`ingress`: an actor with `ask(name, content)` that returns a kind and a body."""
        self._began_s = time.monotonic()
        self._waiting: dict[Ref, tuple[int, Ref]] = {}
        for party, content in contents.items():
            kind, body = ingress.ask.options(num_returns=2).remote(names[party], content)
            self._waiting[kind] = party, body
        self.answers = Answers()
        self.after_s: dict[int, float] = {}  # how long each good answer took

    def wait(self, kind: str, wanted: int, until_s: float | None = None) -> Answers:
        """Until `wanted` good answers are there, or nobody is left, or so long after the question.

        Those that are there by then are taken too, so that they can verify the others.
        """
        while self._waiting and len(self.answers.good) < wanted:
            left_s = None if until_s is None else self._began_s + until_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                break
            missing = min(wanted - len(self.answers.good), len(self._waiting))
            self._take(kind, missing, left_s)
        if self._waiting:
            self._take(kind, len(self._waiting), 0)
        return self.answers

    def wait_for(self, kind: str, parties: Collection[int], until_s: float | None) -> Answers:
        """Until each of these has answered or is gone."""
        while any(party in parties for party, _ in self._waiting.values()):
            left_s = None if until_s is None else self._began_s + until_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                break
            self._take(kind, 1, left_s)
        if self._waiting:
            self._take(kind, len(self._waiting), 0)
        return self.answers

    def waits_for(self, party: int) -> bool:
        """Whether it may still answer."""
        return any(party == other for other, _ in self._waiting.values())

    def _take(self, kind: str, number: int, within_s: float | None) -> None:
        ready, _ = ray.wait(list(self._waiting), num_returns=number, timeout=within_s)
        for ref in ready:
            party, body = self._waiting.pop(ref)
            said: str = ray.get(ref)
            if said == kind:
                self.answers.good[party] = body
                self.after_s[party] = time.monotonic() - self._began_s
            elif said == "complaint":
                self.answers.complaints[party] = pb.Complaint.FromString(fetch(body))
            elif said == "refusal":
                self.answers.refused[party] = pb.Refusal.FromString(fetch(body)).message[:500]
            else:
                self.answers.gone.add(party)


def fetch(body: Ref) -> bytes:
    """An answer's body, to this process."""
    return bytes(ray.get(body))
