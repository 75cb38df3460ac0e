"""What is known of each party: how it keeps up, and whether what it sends is right."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from narrows.server.samples import Sample

log = logging.getLogger(__name__)


@dataclass
class Party:
    """Counts of rounds."""

    name: str
    answered: int = 0  # in time for the sum
    late: int = 0  # or not at all
    missed: int = 0  # its shares did not come: the round went on with earlier ones
    seconds: float = 0.0  # to its answers, together
    away: bool = False  # it missed the last round: nobody waits for its shares
    wrong: bool = False  # its results are not asked for any more
    excluded: bool = False  # its shares could not be opened: it is no part of the sum any more


class Standing:
    """All parties of a session, by index."""

    def __init__(self, names: Iterable[str]) -> None:
        self.parties = [Party(name) for name in names]

    @property
    def holders(self) -> list[int]:
        return [n for n, party in enumerate(self.parties) if not party.excluded]

    @property
    def expected(self) -> list[int]:
        """Whose shares a round waits for."""
        return [n for n in self.holders if not self.parties[n].away]

    @property
    def evaluators(self) -> list[int]:
        return [n for n, party in enumerate(self.parties) if not party.wrong]

    def answered(self, after_s: Mapping[int, float], asked: Iterable[int]) -> None:
        for n in asked:
            party = self.parties[n]
            if n in after_s:
                party.answered += 1
                party.seconds += after_s[n]
            else:
                party.late += 1

    def shared(self, party: int, in_time: bool) -> None:
        """Whether its shares of a round came; one that missed is not waited for until they do."""
        known = self.parties[party]
        if known.away == in_time:
            log.info("%s: %s", known.name, "back" if in_time else "away: not waited for")
        known.away = not in_time
        known.missed += not in_time

    def found_wrong(self, parties: Iterable[int]) -> None:
        for n in parties:
            if not self.parties[n].wrong:
                log.warning("%s sent wrong results: asked for no more", self.parties[n].name)
            self.parties[n].wrong = True

    def exclude(self, party: int, complaints: int) -> None:
        log.warning(
            "%s: %d parties cannot open its shares: no part of the sum any more",
            self.parties[party].name, complaints,
        )  # fmt: skip
        self.parties[party].excluded = True

    @property
    def named(self) -> dict[str, list[str]]:
        """Who was found out, and how."""
        return {
            what: [party.name for party in self.parties if getattr(party, what)]
            for what in ("away", "wrong", "excluded")
        }

    def samples(self) -> list[Sample]:
        """For the console and Prometheus."""
        told: list[Sample] = []
        for party in self.parties:
            labels = {"party": party.name}
            rows: dict[str, Any] = {
                "answered_total": party.answered, "late_total": party.late,
                "missed_total": party.missed, "away": party.away, "wrong": party.wrong,
                "excluded": party.excluded,
                "answer_seconds": party.seconds / max(1, party.answered),
            }  # fmt: skip
            told += [(f"narrows_federated_{k}", labels, float(v)) for k, v in rows.items()]
        return told
