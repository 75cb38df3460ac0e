"""A client's part: what it says to the server, and above all what it refuses to say.

1. `begin`: a fresh X25519 key for sealed messages, signed with the device's certificate.
2. `join`: the members' keys are checked; `deposit`: a fresh mask key for the next round, its
   private half shared among the holders.
3. `mask`: the integers of an update, plus a mask of its own seed, plus or minus one for each other
   participant that the two have in common; the seed is shared among the holders.
4. `confirm`: as a holder, when clients have vanished: the set of survivors, sealed for all others.
5. `reveal`: as a holder, shares of survivors' seeds and of vanished clients' keys.

Both secrets of one client together would uncover its update, also one that came late. So a holder
opens one of the two per client and deposit, ever; one set of survivors per round; keys only when t
holders confirm that they saw the same set. A mask key is used once and forgotten.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from narrows.errors import SealError, SessionError
from narrows.federated.secure import shares
from narrows.federated.secure.masks import SEED_BYTES, Words, commitment, pairwise_seed, words
from narrows.federated.secure.messages import (
    LEAST_CLIENTS,
    Begin,
    Confirmation,
    Deposit,
    MaskedUpdate,
    Member,
    Plan,
    Revealed,
    Roster,
    Survivors,
    Unmask,
    enough,
)
from narrows.federated.secure.packing import pack
from narrows.federated.secure.updates import Quantised
from narrows.security.sealed import Announcement, PartyKey, SealedChannel, announce, verify

KEY, SEED, CONFIRMED = "mask key", "self seed", "survivors"  # kinds of sealed messages


class Pending(msgspec.Struct, frozen=True):
    """A mask key that waits for its round, and this client's own share of it."""

    serial: int
    private: bytes
    own_share: bytes


class Memory(msgspec.Struct):
    """All that a client keeps between messages; secret, and never of an update."""

    name: str
    private: bytes  # X25519, for sealed messages
    session: bytes
    roster: Roster | None = None
    serial: int = 0
    pending: Pending | None = None
    trained: tuple[int, bytes] = (0, b"")  # the last round: its number and plan's digest
    own_shares: dict[str, bytes] = {}  # KEY, SEED -> of the last round's secrets
    bound: tuple[int, bytes] = (0, b"")  # as a holder: the last round and its survivors' digest
    told: dict[str, tuple[int, bool]] = {}  # client -> serial, and whether as one that survived


class Client:
    """A client with its memory, between which and the server the messages go."""

    def __init__(self, memory: Memory, folder: Path | None, least: int = LEAST_CLIENTS) -> None:
        """
        Args:
            memory: what the client kept.
            folder: the device's credentials; None: keys are unsigned, and a server that lies about
                them is not found out.
            least: clients of a session and of a round that this one takes part in.
        """
        self.memory = memory
        self._folder = folder
        self._least = least
        self._key = PartyKey(X25519PrivateKey.from_private_bytes(memory.private))

    @classmethod
    def begin(
        cls, told: Begin, name: str, folder: Path | None, least: int = LEAST_CLIENTS
    ) -> tuple["Client", Member]:
        """A new session, forgetting any other. Raises ConfigError for credentials of another."""
        private = X25519PrivateKey.generate().private_bytes_raw()
        client = cls(Memory(name, private, told.session), folder, least)
        made = announce(client._key, name, _session_context(told.session), folder)
        return client, Member(made.name, made.public, made.certificate_pem, made.signature)

    def join(self, roster: Roster) -> None:
        """Take the members for this session's, once.

        Raises:
            SessionError: another session's roster, a second one, too few or repeated members, or
                one without this client and its key.
            IdentityError: a member's key that is not proved to be of its device.
        """
        own = [m for m in roster.members if m.name == self.memory.name]
        if roster.session != self.memory.session or self.memory.roster is not None:
            raise SessionError("a roster of another session than began here, or a second one")
        if len({m.name for m in roster.members}) != len(roster.members) or len(own) != 1:
            raise SessionError("a roster must name every member once, this client among them")
        if own[0].public != self._key.public:
            raise SessionError(f"the roster has another key of {self.memory.name} than its own")
        if not LEAST_CLIENTS <= roster.holders <= len(roster.members):
            raise SessionError(
                f"{roster.holders} holders of {len(roster.members)} members: expected at least "
                f"{LEAST_CLIENTS}: fewer would know each other's updates from the sums"
            )
        if len(roster.members) < self._least:
            raise SessionError(
                f"{len(roster.members)} members: this client expects at least {self._least}"
            )
        context = _session_context(roster.session)
        for member in roster.members:
            announced = Announcement(
                member.name, member.public, member.certificate_pem, member.signature
            )
            verify(announced, context, self._folder)
        self.memory.roster = roster

    def deposit(self) -> Deposit:
        """A fresh mask key for the next round; the one before, if unused, is forgotten.

        Raises:
            SessionError: not joined, or under another certificate.
        """
        roster, channel = self._joined(), self._channel()
        private = X25519PrivateKey.generate()
        secret = private.private_bytes_raw()
        self.memory.serial += 1
        serial = self.memory.serial
        dealt = shares.share(secret, roster.holders)
        sealed, own = self._seal(channel, KEY, serial, dealt)
        self.memory.pending = Pending(serial, secret, own)
        context = _deposit_context(roster, serial)
        made = announce(PartyKey(private), self.memory.name, context, self._folder)
        if made.certificate_pem not in {member.certificate_pem for member in roster.members}:
            raise SessionError("the certificate was renewed in the session: begin a new one")
        return Deposit(serial, made.public, made.signature, sealed)

    def mask(self, plan: Plan, quantised: Quantised) -> MaskedUpdate:
        """The integers under masks. The mask key is spent, whatever becomes of the message.

        Raises:
            SessionError: not this client's next round, or participants that are not as they must.
            IdentityError: a participant's mask key that is not proved to be of its device.
            ConfigError: terms by which a sum could wrap.
        """
        roster, memory = self._joined(), self.memory
        pending = self._admitted(plan)
        bits = plan.terms.coordinate_bits(len(plan.participants))
        own_key = PartyKey(X25519PrivateKey.from_private_bytes(pending.private))
        self._verify_participants(plan)
        memory.pending = None
        digest = plan.digest()
        head = quantised.head.astype(np.uint32)
        coordinates = quantised.coordinates.astype(np.uint32)
        seed = os.urandom(SEED_BYTES)
        add_mask(head, coordinates, seed)
        for other in plan.participants:
            if other.name != memory.name:
                common = pairwise_seed(own_key, other.public, digest)
                (add_mask if memory.name < other.name else take_mask)(head, coordinates, common)
        dealt = shares.share(seed, roster.holders)
        sealed, own = self._seal(self._channel(), _seed_kind(digest), pending.serial, dealt)
        memory.trained = (plan.number, digest)
        memory.own_shares = {KEY: pending.own_share, SEED: own}
        coordinates &= np.uint32((1 << bits) - 1)
        return MaskedUpdate(
            pack(head, 32), pack(coordinates, bits), commitment(seed), sealed, self.deposit()
        )

    def confirm(self, survivors: Survivors) -> Confirmation:
        """Say to all other holders, past the server, which set of survivors this one saw.

        Raises:
            SessionError: this client said otherwise before, or too few survived.
        """
        roster, channel = self._joined(), self._channel()
        self._bind(survivors)
        digest, number = survivors.digest(), survivors.plan.number
        return Confirmation(
            tuple(
                b"" if m.name == self.memory.name
                else channel.seal(m.name, CONFIRMED, number, digest)
                for m in roster.members[: roster.holders]
            )
        )  # fmt: skip

    def reveal(self, told: Unmask) -> Revealed:
        """Open one share for each participant: of its seed if it survived, else of its key.

        Raises:
            SessionError: as `confirm`; or clients have vanished, and fewer than t holders confirm
                this set of survivors.
            SealError: a share that was not sealed for this round, participant and holder.
        """
        self._joined()
        channel, survivors, plan = self._channel(), told.survivors, told.survivors.plan
        self._check(survivors)
        if survivors.vanished:
            self._check_confirmed(channel, survivors, told.confirmations)
        if len(told.sealed) != len(plan.participants):
            raise SessionError("expected one sealed share for each participant")
        self._bind(survivors)
        here, digest = set(survivors.names), plan.digest()
        opened = []
        for participant, sealed in zip(plan.participants, told.sealed, strict=True):
            name, survived = participant.name, participant.name in here
            if name == self.memory.name:
                opened.append(self._own_share(plan, digest, survived))
            else:
                kind = _seed_kind(digest) if survived else KEY
                opened.append(channel.open(name, kind, participant.serial, sealed))
        if any(len(share) != shares.SHARE_BYTES for share in opened):
            raise SealError(f"a share of another length than {shares.SHARE_BYTES} bytes")
        return Revealed(b"".join(opened))

    def _admitted(self, plan: Plan) -> Pending:
        """The mask key that this plan is for. Raises SessionError when it is for another."""
        roster, pending = self._joined(), self.memory.pending
        number, _ = self.memory.trained
        own = [p for p in plan.participants if p.name == self.memory.name]
        if plan.roster_digest != roster.digest() or plan.number <= number:
            raise SessionError(
                f"round {plan.number} is of another session, or not after round {number}, in which "
                "this client took part: masks are used once"
            )
        if pending is None or [p.serial for p in own] != [pending.serial]:
            raise SessionError(
                f"round {plan.number} does not use this client's latest deposit: ask for a new one"
            )
        if len(plan.participants) < self._least:
            raise SessionError(
                f"round {plan.number} has {len(plan.participants)} participants: expected at least "
                f"{self._least}: fewer hide each other too little"
            )
        return pending

    def _verify_participants(self, plan: Plan) -> None:
        roster = self._joined()
        members = {member.name: member for member in roster.members}
        if len(set(plan.names)) != len(plan.names) or not members.keys() >= set(plan.names):
            raise SessionError("a round's participants must be members, each named once")
        for p in plan.participants:
            certificate = members[p.name].certificate_pem
            announced = Announcement(p.name, p.public, certificate, p.signature)
            verify(announced, _deposit_context(roster, p.serial), self._folder)

    def _check(self, survivors: Survivors) -> None:
        """Raises SessionError for a set that may not be summed, or not after what was said."""
        plan, memory = survivors.plan, self.memory
        names, number = set(survivors.names), plan.number
        if plan.roster_digest != self._joined().digest():
            raise SessionError("survivors of another session")
        if len(names) != len(survivors.names) or not names <= set(plan.names):
            raise SessionError("survivors must be participants, each named once")
        if not enough(len(names), len(plan.participants)):
            raise SessionError(
                f"{len(names)} of {len(plan.participants)} participants survived: expected at "
                f"least {shares.threshold(len(plan.participants))}: their sum tells too much"
            )
        if memory.trained[0] == number and memory.trained[1] != plan.digest():
            raise SessionError(f"round {number} is another than this client took part in")
        bound, digest = memory.bound
        if number < bound or (number == bound and survivors.digest() != digest):
            raise SessionError(
                f"round {number}: another set of survivors than this client was told before: "
                "the server may be trying to uncover single updates"
            )
        for participant in plan.participants:
            serial, survived = memory.told.get(participant.name, (0, True))
            other = participant.serial == serial and survived != (participant.name in names)
            if participant.serial < serial or other:
                raise SessionError(
                    f"{participant.name} was said to have {'survived' if survived else 'vanished'} "
                    "before, with the same keys: only one of its two secrets may be opened"
                )

    def _bind(self, survivors: Survivors) -> None:
        """As `_check`, and from now on no other set is answered."""
        self._check(survivors)
        names = set(survivors.names)
        self.memory.bound = (survivors.plan.number, survivors.digest())
        for p in survivors.plan.participants:
            self.memory.told[p.name] = (p.serial, p.name in names)

    def _check_confirmed(
        self, channel: SealedChannel, survivors: Survivors, confirmations: Mapping[str, bytes]
    ) -> None:
        roster, number = self._joined(), survivors.plan.number
        holders = [m.name for m in roster.members[: roster.holders]]
        if self.memory.bound != (number, survivors.digest()):
            raise SessionError(f"round {number}: this client did not confirm these survivors")
        agreed = {self.memory.name} & set(holders)
        for name in set(holders) & confirmations.keys() - {self.memory.name}:
            digest = channel.open(name, CONFIRMED, number, confirmations[name])
            if digest != survivors.digest():
                raise SessionError(
                    f"round {number}: holder {name} was told other survivors: the server may be "
                    "trying to uncover single updates"
                )
            agreed.add(name)
        if len(agreed) < shares.threshold(roster.holders):
            raise SessionError(
                f"round {number}: {len(agreed)} holders confirm these survivors: expected at least "
                f"{shares.threshold(roster.holders)} of {roster.holders} before keys are opened"
            )

    def _own_share(self, plan: Plan, digest: bytes, survived: bool) -> bytes:
        if self.memory.trained == (plan.number, digest):
            return self.memory.own_shares[SEED if survived else KEY]
        pending, own = self.memory.pending, {p.name: p for p in plan.participants}
        if survived or not pending or own[self.memory.name].serial != pending.serial:
            raise SessionError(f"round {plan.number}: no share of this client's own is left")
        self.memory.pending = None  # it will have been opened: not to be trained with
        self.memory.own_shares = {KEY: pending.own_share}
        self.memory.trained = (plan.number, digest)
        return pending.own_share

    def _joined(self) -> Roster:
        if self.memory.roster is None:
            raise SessionError("this client has not joined the session: send it the roster first")
        return self.memory.roster

    def _channel(self) -> SealedChannel:
        roster = self._joined()
        peers = {m.name: m.public for m in roster.members if m.name != self.memory.name}
        return SealedChannel(self._key, self.memory.name, roster.digest(), peers)

    def _seal(
        self, channel: SealedChannel, kind: str, serial: int, dealt: list[bytes]
    ) -> tuple[tuple[bytes, ...], bytes]:
        """Each holder's share sealed for it, and this client's own, empty if it holds none."""
        sealed, own = [], b""
        roster = self._joined()
        for holder, one in zip(roster.members[: roster.holders], dealt, strict=True):
            if holder.name == self.memory.name:
                own = one
                sealed.append(b"")
            else:
                sealed.append(channel.seal(holder.name, kind, serial, one))
        return tuple(sealed), own


def add_mask(head: Words, coordinates: Words, seed: bytes) -> None:
    """In place, modulo 2**32, of which every smaller power of two is a divisor."""
    drawn = words(seed, len(head) + len(coordinates))
    head += drawn[: len(head)]
    coordinates += drawn[len(head) :]


def take_mask(head: Words, coordinates: Words, seed: bytes) -> None:
    """The inverse of `add_mask`."""
    drawn = words(seed, len(head) + len(coordinates))
    head -= drawn[: len(head)]
    coordinates -= drawn[len(head) :]


def _seed_kind(digest: bytes) -> str:
    return f"{SEED} {digest.hex()}"


def _session_context(session: bytes) -> bytes:
    return b"narrows secure session 1" + session


def _deposit_context(roster: Roster, serial: int) -> bytes:
    return b"narrows secure deposit 1" + roster.digest() + serial.to_bytes(8, "big")
