"""Rounds of secure aggregation in one process: clients, a server, and who says nothing when."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from narrows.federated.secure.member import Client, Memory
from narrows.federated.secure.messages import Begin, Deposit, Roster, Told
from narrows.federated.secure.round import Round, Sums
from narrows.federated.secure.terms import UpdateTerms
from narrows.federated.secure.updates import Quantised

SMALL = UpdateTerms(300, 300, 1.0, 7, 5, ("loss",), bytes(32))


def any_integers(terms: UpdateTerms, chance: np.random.Generator) -> Quantised:
    """As large as integers can be, and all that is below."""
    head = chance.integers(1, terms.largest_weight + 1, terms.head)
    return Quantised(head, chance.integers(-terms.levels, terms.levels + 1, terms.coordinates))


@dataclass
class Fleet:
    """A session, its clients' deposits, and every byte that the server received."""

    roster: Roster
    clients: dict[str, Client]
    deposits: dict[str, Deposit]
    folders: dict[str, Path | None]
    sent: dict[str, Quantised] = field(default_factory=dict)
    received: list[bytes] = field(default_factory=list)
    number: int = 0

    @classmethod
    def gather(cls, size: int, folders: dict[str, Path | None] | None = None) -> "Fleet":
        folders = folders or {f"client-{i:02}": None for i in range(size)}
        session = os.urandom(16)
        begun = {n: Client.begin(Begin(session), n, f) for n, f in folders.items()}
        members = tuple(member for _, member in begun.values())
        fleet = cls(Roster(session, members, len(members)), {}, {}, folders)
        fleet.received += [member.encode() for member in members]
        for name, (client, _) in begun.items():
            client.join(fleet.roster)
            fleet.clients[name] = client
        fleet.deal()
        return fleet

    def deal(self) -> None:
        """Who has no deposit makes one."""
        for name in self.clients.keys() - self.deposits.keys():
            self.deposits[name] = self.said(name, lambda c: c.deposit())

    def said(self, name: str, answer: Callable[[Client], Told]):
        """A client's answer, given from nothing but its memory, as by a process per message."""
        kept = msgspec.msgpack.encode(self.clients[name].memory)
        client = Client(msgspec.msgpack.decode(kept, type=Memory), self.folders[name])
        told = answer(client)
        self.clients[name] = client
        self.received.append(told.encode())
        return type(told).decode(told.encode())

    def begin(self, terms: UpdateTerms = SMALL) -> Round:
        self.number += 1
        return Round(self.roster, self.number, terms, self.deposits)

    def train(self, this: Round, gone: Collection[str] = (), seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        self.sent = {}
        for name in this.plan.names:
            self.deposits.pop(name)
            if name not in gone:
                integers = any_integers(this.plan.terms, chance)
                masked = self.said(name, lambda c, q=integers: c.mask(this.plan, q))
                this.accept(name, masked)
                self.sent[name], self.deposits[name] = integers, masked.deposit

    def run(
        self,
        terms: UpdateTerms = SMALL,
        *,
        train: Collection[str] = (),
        confirm: Collection[str] = (),
        unmask: Collection[str] = (),
        seed: int = 0,
    ) -> Sums:
        """A round in which those clients say nothing at those stages."""
        self.deal()
        this = self.begin(terms)
        self.train(this, train, seed)
        confirmed = {}
        if (survivors := this.ask_to_confirm()) is not None:
            for name in set(this.holders) - set(confirm):
                confirmed[name] = self.said(name, lambda c: c.confirm(survivors))
        revealed = {}
        for name, ask in this.ask_to_unmask(confirmed).items():
            if name not in unmask:
                revealed[name] = self.said(name, lambda c, ask=ask: c.reveal(ask))
        return this.finish(revealed)

    def plain_sums(self) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.sum([q.head for q in self.sent.values()], axis=0),
            np.sum([q.coordinates for q in self.sent.values()], axis=0),
        )
