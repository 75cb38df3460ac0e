"""Accepted frames in the order in which they are served: fair among devices, urgent ones first.

A device's first waiting frame competes with the other devices' first ones, by deadline; its second
comes after all first ones, and so on. So whoever sends ten times as much has no more of a full
server than the others, and of two equals the one with less time left goes first (Liu & Layland,
JACM 1973, among frames of one round).
"""

from bisect import insort
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

PATIENCE_NS = 10_000_000_000  # of a frame without a deadline, so that it is not for ever last


class Queued(Protocol):
    """What the order asks of a job; a replica's, or one in simulated time."""

    @property
    def device(self) -> str: ...
    @property
    def received_ns(self) -> int: ...
    @property
    def deadline_ns(self) -> int | None: ...


J = TypeVar("J", bound=Queued)


class FairQueue(Generic[J]):
    """Waiting jobs by device."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[int, int, J]]] = {}  # by deadline, then arrival
        self._count = self._arrivals = 0

    def __len__(self) -> int:
        return self._count

    def add(self, job: J) -> None:
        """Queue a job behind its device's more urgent ones."""
        self._arrivals += 1
        due = job.deadline_ns or job.received_ns + PATIENCE_NS
        insort(self._of.setdefault(job.device, []), (due, self._arrivals, job))
        self._count += 1

    def ahead_of(self, device: str) -> int:
        """How many jobs would be served before one more of this device."""
        rounds = len(self._of.get(device, ()))
        return sum(min(len(jobs), rounds + 1) for jobs in self._of.values())

    def in_order(self) -> Iterator[J]:
        """All jobs, the next one first."""
        rounds = (
            (index, due, number, job)
            for jobs in self._of.values()
            for index, (due, number, job) in enumerate(jobs)
        )
        for _, _, _, job in sorted(rounds, key=lambda entry: entry[:3]):
            yield job

    def remove(self, gone: set[int]) -> None:
        """Take out jobs by `id`."""
        for device, jobs in tuple(self._of.items()):
            left = [entry for entry in jobs if id(entry[2]) not in gone]
            self._count -= len(jobs) - len(left)
            if left:
                self._of[device] = left
            else:
                del self._of[device]
