"""From parties' responses to the K sums, whoever answered.

1. The responses are values of one polynomial of degree R-1 at the parties' evaluation points.
2. Any R of them determine it: its values at the secret points, the sums, are one matrix product.
3. Its values at the other responders' points must be what those sent: `decode` checks that.
4. With R + 2A responses, `correct` finds up to A wrong ones, leaves them out and names them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from narrows.errors import TooFewResponses, WrongResponses
from narrows.sharing import field
from narrows.sharing.code import LagrangeCode
from narrows.sharing.correction import wrong_positions
from narrows.sharing.field import Field
from narrows.sharing.interpolation import lagrange_matrix
from narrows.sharing.randomness import uniform

Responses = Mapping[int, Field]  # party, counted from 0 -> uint64 (rows, e), entries below p

REMEMBERED_SETS = 64  # of responders: their weights are at most N * N elements each


@dataclass(frozen=True, eq=False)
class Decoded:
    """The sums, and how far to trust them."""

    sums: Field  # (K, rows, e)
    surplus: int  # responses beyond R that agreed; 0: the sums are unverified
    wrong: tuple[int, ...] = ()  # parties whose responses were found wrong and left out


class Decoder:
    """Decodes one session's responses; remembers the weights of the latest responding sets."""

    def __init__(self, code: LagrangeCode) -> None:
        self.code = code
        self.parameters = code.parameters
        self._weights = lru_cache(REMEMBERED_SETS)(self._weights_of)

    def decode(self, responses: Responses, shape: tuple[int, ...]) -> Decoded:
        """The sums of any R or more responses of that shape; those beyond R verify the others.

        Raises:
            TooFewResponses: fewer than R came; it says how many, and how many are needed.
            WrongResponses: malformed ones, or a surplus one off the polynomial through the first
                R. Then at least one response is wrong, of either group.
        """
        malformed = self._malformed(responses, shape)
        if malformed:
            raise WrongResponses(
                f"responses of parties {list(malformed)} are not {shape} uint64 elements of F_p",
                malformed,
            )
        parties = tuple(sorted(responses))
        sums, disagreeing = self._interpolate(parties, responses)
        if disagreeing:
            first = list(parties[: self.parameters.recovery_threshold])
            raise WrongResponses(
                f"responses of parties {list(disagreeing)} are not on the polynomial through those "
                f"of {first}: at least one of all these is wrong, and R + 2A = "
                f"{self.parameters.recovery_threshold} + 2A responses tell which, for A wrong",
                disagreeing,
            )
        return Decoded(sums, len(parties) - self.parameters.recovery_threshold)

    def correct(self, responses: Responses, shape: tuple[int, ...]) -> Decoded:
        """As `decode`, but leaves out and names up to A wrong ones of R + 2A well-formed responses.

        Whoever is wrong anywhere is, but for a chance of 1/p, wrong in a random combination of all
        places, drawn after the responses came: one codeword tells for the whole matrix. What is
        returned does not rest on that chance: all that are left agree, and they are R or more
        right ones as long as at most A were wrong.

        Raises:
            TooFewResponses: fewer than R well-formed responses came.
            WrongResponses: more are wrong than can be corrected.
        """
        malformed = self._malformed(responses, shape)
        parties = tuple(party for party in sorted(responses) if party not in malformed)
        wrong: set[int] = set()
        while True:
            trusted = tuple(party for party in parties if party not in wrong)
            sums, disagreeing = self._interpolate(trusted, responses)
            if not disagreeing:
                surplus = len(trusted) - self.parameters.recovery_threshold
                return Decoded(sums, surplus, tuple(sorted({*malformed, *wrong})))
            found = self._locate(parties, responses)
            allowed = self.parameters.correctable(len(parties))
            if found <= wrong or len(found | wrong) > allowed:
                raise WrongResponses(
                    f"{len(parties)} responses correct at most A = {allowed} wrong ones, as "
                    f"R + 2A = {self.parameters.recovery_threshold} + 2A must come, and more than "
                    f"that are wrong; parties {list(disagreeing)} disagree with the first R",
                    disagreeing,
                )
            wrong |= found

    def _interpolate(
        self, parties: tuple[int, ...], responses: Responses
    ) -> tuple[Field, tuple[int, ...]]:
        """The sums by the first R of these parties, and who of the others disagrees."""
        needed, p = self.parameters.recovery_threshold, self.parameters.prime
        if len(parties) < needed:
            raise TooFewResponses(
                f"{len(parties)} responses came and R = {needed} are needed: wait for "
                f"{needed - len(parties)} more of the {self.parameters.parties} parties"
            )
        values = np.stack([responses[party].reshape(-1) for party in parties])
        predicted = field.matmul(self._weights(parties), values[:needed], p)
        k = self.parameters.segments
        off = (predicted[k:] != values[needed:]).any(axis=1)
        disagreeing = tuple(n for n, is_off in zip(parties[needed:], off, strict=True) if is_off)
        return predicted[:k].reshape(k, *responses[parties[0]].shape), disagreeing

    def _weights_of(self, parties: tuple[int, ...]) -> Field:
        """(K + surplus, R): from the first R responses to the sums and to the other responses."""
        needed = self.parameters.recovery_threshold
        points = self.code.evaluation_points[list(parties)]
        targets = np.concatenate([self.code.secret_points, points[needed:]])
        return lagrange_matrix(points[:needed], targets, self.parameters.prime)

    def _locate(self, parties: tuple[int, ...], responses: Responses) -> set[int]:
        """Wrong parties by one random combination; empty when none or too many show."""
        p = self.parameters.prime
        values = np.stack([responses[party].reshape(-1) for party in parties])
        combined = field.matmul(values, uniform((values.shape[1], 1), p), p)[:, 0]
        points = self.code.evaluation_points[list(parties)]
        needed = self.parameters.recovery_threshold
        positions = wrong_positions(points.tolist(), combined.tolist(), needed, p)
        return {parties[i] for i in positions or ()}

    def _malformed(self, responses: Responses, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Parties that are none of the N, or sent another shape, type, or no elements of F_p."""
        return tuple(
            party
            for party, response in sorted(responses.items())
            if not 0 <= party < self.parameters.parties
            or response.shape != shape
            or response.dtype != np.uint64
            or (response >= np.uint64(self.parameters.prime)).any()
        )
