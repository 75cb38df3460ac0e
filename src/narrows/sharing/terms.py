"""What all of a session agree on before anything is shared, and the hash they agree by."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from narrows.errors import ConfigError
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.code import LagrangeCode
from narrows.sharing.schedule import Schedule


@dataclass(frozen=True)
class Learning:
    """How everybody's weights learn: Adam, so that parts learn as the whole would."""

    rate: float = 0.01

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ConfigError(f"a learning rate of {self.rate}: expected more than 0")


@dataclass(frozen=True)
class Terms:
    """A session. Made only if its sums fit the field (`SessionBounds`) and its parts fit together.

    Raises:
        ConfigError: they do not.
    """

    session: str  # unique; 32 hexadecimal digits
    parties: tuple[str, ...]  # names; the n-th computes at the n-th evaluation point
    bounds: SessionBounds  # the code, the scales and each party's columns, in that order
    width: int  # e: sums of each record
    schedule: Schedule
    learning: Learning = Learning()
    wrong: int = 0  # A: wrong responses a round corrects
    protected: bool = True  # False: parts of the sum go in the clear, to compare with
    hidden: int = 0  # units of each party's own hidden layer; in the clear alone

    def __post_init__(self) -> None:
        parameters, names = self.bounds.parameters, len(self.parties)
        if not names == len(set(self.parties)) == len(self.bounds.columns) == parameters.parties:
            raise ConfigError(
                f"{names} parties with {len(self.bounds.columns)} counts of columns: expected "
                f"N = {parameters.parties} different names, and one count each"
            )
        if self.schedule.segments != parameters.segments:
            raise ConfigError(
                f"a schedule of {self.schedule.segments} segments in a code of K = "
                f"{parameters.segments}"
            )
        if self.width < 1:
            raise ConfigError(f"{self.width} sums a record: expected 1 or more")
        if self.hidden < 0 or (self.hidden and self.protected):
            raise ConfigError(
                f"{self.hidden} hidden units at the parties: shares only allow products of "
                "linear maps"
            )
        if self.wrong < 0:
            raise ConfigError(f"A = {self.wrong} wrong responses to correct: expected 0 or more")
        if self.wanted > parameters.parties:
            raise ConfigError(
                f"R + 2A = {self.wanted} responses are needed to correct A = {self.wrong} wrong "
                f"ones, and there are N = {parameters.parties} parties"
            )

    @property
    def wanted(self) -> int:
        """R + 2A: so many responses end a round."""
        return self.bounds.parameters.recovery_threshold + 2 * self.wrong

    @cached_property
    def code(self) -> LagrangeCode:
        return LagrangeCode(self.bounds.parameters)

    @cached_property
    def encoded(self) -> bytes:
        """Canonical JSON: one text for one set of terms."""
        return msgspec.json.encode(self, order="sorted")

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of `encoded`: 32 bytes. Everything that travels is bound to it."""
        return hashlib.sha256(self.encoded).digest()

    def versions_digest(self, round: int, versions: Sequence[int]) -> bytes:
        """What a response is bound to: the round, and whose shares of which round went into it."""
        numbers = ",".join(map(str, (round, *versions)))
        return hashlib.sha256(self.digest + numbers.encode()).digest()

    @classmethod
    def decode(cls, text: bytes) -> "Terms":
        """Raises: ConfigError: no terms, or none that hold together."""
        try:
            terms = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConfigError(f"a session's terms: {error}") from None
        if terms.encoded != text:
            raise ConfigError("a session's terms: not in the canonical form that is hashed")
        return terms


def summary(terms: Terms) -> dict[str, Any]:
    """For people and logs."""
    p = terms.bounds.parameters
    return {
        "parties": p.parties, "segments": p.segments, "privacy": p.privacy, "degree": p.degree,
        "recovery_threshold": p.recovery_threshold, "stragglers": p.parties - terms.wanted,
        "wrong": terms.wrong, "records": terms.schedule.records,
        "held_out": terms.schedule.held_out, "steps": len(terms.schedule),
    }  # fmt: skip
