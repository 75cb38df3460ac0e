"""The server's part of a round: masked updates in, the sum out, and nothing in between.

1. `accept`: masked updates, until all have come or time is up. Whose came survive.
2. `ask_to_confirm`: when clients have vanished, every holder tells all others whom it saw survive.
3. `ask_to_unmask`: each holder opens shares of survivors' seeds and of vanished clients' keys.
4. `finish`: from t holders' shares the seeds and keys, from those the masks that do not cancel.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from narrows.errors import SharingError, TooFewResponses
from narrows.federated.secure import shares
from narrows.federated.secure.masks import commitment, pairwise_seed
from narrows.federated.secure.member import add_mask, take_mask
from narrows.federated.secure.messages import (
    LEAST_CLIENTS,
    Confirmation,
    Deposit,
    MaskedUpdate,
    Participant,
    Plan,
    Revealed,
    Roster,
    Survivors,
    Unmask,
    enough,
)
from narrows.federated.secure.packing import packed_bytes, unpack
from narrows.federated.secure.terms import Integers, UpdateTerms, signed
from narrows.security.sealed import PartyKey


@dataclass(frozen=True, eq=False)
class Sums:
    """What a round gave: sums over the survivors, exactly those of their integers."""

    head: Integers
    coordinates: Integers
    survivors: tuple[str, ...]
    holders: tuple[str, ...]  # whose shares were used
    wrong: tuple[str, ...]  # holders whose shares were wrong, and corrected


class Round:
    """One round of a session, from its plan to its sums."""

    def __init__(
        self, roster: Roster, number: int, terms: UpdateTerms, deposits: Mapping[str, Deposit]
    ) -> None:
        """`deposits`: of the clients that are asked to train.

        Raises:
            TooFewResponses: of fewer clients than a round needs.
            ConfigError: terms by which a sum could wrap.
        """
        if len(deposits) < LEAST_CLIENTS:
            raise TooFewResponses(
                f"round {number}: {len(deposits)} clients are ready with a mask key, and a sum "
                f"needs at least {LEAST_CLIENTS} to hide each"
            )
        self.roster = roster
        self.plan = Plan(
            roster.digest(),
            number,
            terms,
            tuple(
                Participant(name, d.serial, d.public, d.signature)
                for name, d in sorted(deposits.items())
            ),
        )
        self.bits = terms.coordinate_bits(len(deposits))
        self.holders = tuple(member.name for member in roster.members[: roster.holders])
        self._deposits = dict(deposits)
        self._masked: dict[str, MaskedUpdate] = {}

    def accept(self, name: str, masked: MaskedUpdate) -> None:
        """Raises SharingError for an update of another size, or of no participant."""
        terms, holders = self.plan.terms, len(self.holders)
        if name not in self._deposits or name in self._masked:
            raise SharingError(f"round {self.plan.number}: {name} was not asked, or came twice")
        sizes = (len(masked.head), len(masked.coordinates), len(masked.sealed))
        expected = (4 * terms.head, packed_bytes(terms.coordinates, self.bits), holders)
        if sizes != expected or len(masked.deposit.sealed) != holders:
            raise SharingError(
                f"round {self.plan.number}: {name} sent {sizes} bytes, bytes and shares: expected "
                f"{expected}"
            )
        self._masked[name] = masked

    @property
    def survivors(self) -> Survivors:
        return Survivors(self.plan, tuple(sorted(self._masked)))

    def ask_to_confirm(self) -> Survivors | None:
        """What to tell every holder; None when nobody vanished, and they need not confirm.

        Raises:
            TooFewResponses: no more than two thirds survived, and their sum must not be told.
        """
        survivors = self.survivors
        if not enough(len(survivors.names), len(self.plan.participants)):
            raise TooFewResponses(
                f"round {self.plan.number}: {len(survivors.names)} of "
                f"{len(self.plan.participants)} clients sent an update, and "
                f"{shares.threshold(len(self.plan.participants))} are needed"
            )
        return survivors if survivors.vanished else None

    def ask_to_unmask(self, confirmed: Mapping[str, Confirmation]) -> dict[str, Unmask]:
        """What to ask each holder: those that confirmed, or all when none needed to.

        Raises:
            TooFewResponses: fewer than t holders confirmed.
        """
        survivors = self.survivors
        whole = {n: c for n, c in confirmed.items() if len(c.sealed) == len(self.holders)}
        if survivors.vanished and len(whole) < shares.threshold(len(self.holders)):
            raise TooFewResponses(
                f"round {self.plan.number}: {len(whole)} of {len(self.holders)} holders confirmed "
                f"who survived, and {shares.threshold(len(self.holders))} are needed"
            )
        asked = {}
        for place, holder in enumerate(self.holders):
            if holder in whole or not survivors.vanished:
                sealed = tuple(
                    (self._masked.get(name) or self._deposits[name]).sealed[place]
                    for name in self.plan.names
                )
                others = {n: c.sealed[place] for n, c in whole.items() if n != holder}
                asked[holder] = Unmask(survivors, sealed, others)
        return asked

    def finish(self, revealed: Mapping[str, Revealed]) -> Sums:
        """The sums over the survivors.

        Raises:
            TooFewResponses: fewer than t holders opened their shares.
            WrongResponses: more of them were wrong than can be corrected.
            SharingError: a client had dealt shares of another secret than it used.
        """
        names, responses = self.plan.names, {}
        for place, holder in enumerate(self.holders):
            if holder in revealed:
                opened = shares.elements(revealed[holder].shares, len(names))
                if opened is not None:
                    responses[place] = opened
        secrets, decoded = shares.rebuild(responses, len(self.holders), len(names))
        rebuilt = dict(zip(names, secrets, strict=True))
        head, coordinates = self._sum_of_masked()
        for name, masked in self._masked.items():
            seed = rebuilt[name]
            if seed is None or commitment(seed) != masked.commitment:
                raise SharingError(f"{name} dealt shares of another seed than its mask's")
            take_mask(head, coordinates, seed)
        digest = self.plan.digest()
        for vanished in self.survivors.vanished:
            key = self._rebuilt_key(vanished, rebuilt[vanished])
            for name in self._masked:
                common = pairwise_seed(key, self._deposits[name].public, digest)
                (take_mask if name < vanished else add_mask)(head, coordinates, common)
        coordinates &= np.uint32((1 << self.bits) - 1)
        return Sums(
            signed(head, 32),
            signed(coordinates, self.bits),
            self.survivors.names,
            tuple(self.holders[place] for place in responses if place not in decoded.wrong),
            tuple(self.holders[place] for place in decoded.wrong),
        )

    def _sum_of_masked(self) -> tuple[np.ndarray, np.ndarray]:
        terms = self.plan.terms
        head = np.zeros(terms.head, np.uint32)
        coordinates = np.zeros(terms.coordinates, np.uint32)
        for masked in self._masked.values():
            head += np.frombuffer(masked.head, "<u4")
            coordinates += unpack(masked.coordinates, terms.coordinates, self.bits)
        return head, coordinates

    def _rebuilt_key(self, name: str, secret: bytes | None) -> PartyKey:
        key = PartyKey(X25519PrivateKey.from_private_bytes(secret)) if secret else None
        if key is None or key.public != self._deposits[name].public:
            raise SharingError(f"{name} dealt shares of another key than its masks'")
        return key
