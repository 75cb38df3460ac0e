"""Decoding on Ray actors: bodies of responses in, sums out, and who was wrong."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import ray

from narrows.errors import SharingError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.sharing.decoding import Decoder
from narrows.sharing.field import Field
from narrows.sharing.party import elements
from narrows.sharing.terms import Terms


@dataclass(frozen=True)
class Verdict:
    """Of one round's responses, or of some of their rows."""

    sums: Field | None  # (K, rows, e); None: not to be had from these responses
    surplus: int = 0  # responses beyond R that agreed
    wrong: tuple[int, ...] = ()
    problem: str = ""


class DecodeActor:
    """Decodes the rows `first` to `last` of every round: with several actors, each its part."""

    def __init__(self, terms: bytes) -> None:
        self._terms = Terms.decode(terms)
        self._decoder = Decoder(self._terms.code)

    def decode(
        self,
        round: tuple[int, int, bytes],
        part: tuple[int, int],
        parties: list[int],
        *bodies: bytes,
    ) -> Verdict:
        """`round`: its number, rows and versions' digest; `bodies`: of each party's Response."""
        rows, (first, last) = round[1], part
        responses, wrong = {}, []
        for party, body in zip(parties, bodies, strict=True):
            try:
                responses[party] = self._values(body, *round)[first:last]
            except SharingError:
                wrong.append(party)
        shape = (min(last, rows) - first, self._terms.width)
        try:
            decoded = self._decoder.correct(responses, shape)
        except SharingError as error:
            return Verdict(None, wrong=tuple(wrong), problem=str(error))
        return Verdict(decoded.sums, decoded.surplus, tuple(sorted({*wrong, *decoded.wrong})))

    def _values(self, body: bytes, round: int, rows: int, versions: bytes) -> Field:
        response = pb.Response.FromString(body)
        if response.round != round or response.versions_digest != versions:
            raise SharingError(f"a response to another round than {round}, or of other versions")
        p = self._terms.bounds.parameters.prime
        values = elements(response.values, rows * self._terms.width, p)
        return values.reshape(rows, self._terms.width)


class Decoders:
    """Actors that decode a round together, each some of its rows."""

    def __init__(self, terms: Terms, actors: int) -> None:
        remote: Any = ray.remote(DecodeActor)
        self._actors = [remote.options(num_cpus=0).remote(terms.encoded) for _ in range(actors)]

    def decode(self, round: tuple[int, int, bytes], bodies: dict[int, Any]) -> Verdict:
        """`bodies`: by party, where they are: they go to the actors without coming by here."""
        rows, parties = round[1], sorted(bodies)
        cuts = [rows * i // len(self._actors) for i in range(len(self._actors) + 1)]
        parts: list[Verdict] = ray.get(
            [
                actor.decode.remote(round, part, parties, *(bodies[n] for n in parties))
                for actor, part in zip(self._actors, pairwise(cuts), strict=True)
                if part[0] < part[1]
            ]
        )
        wrong = tuple(sorted({n for part in parts for n in part.wrong}))
        problem = next((part.problem for part in parts if part.sums is None), "")
        if problem:
            return Verdict(None, wrong=wrong, problem=problem)
        sums = np.concatenate([part.sums for part in parts if part.sums is not None], axis=1)
        return Verdict(sums, min(part.surplus for part in parts), wrong)
