"""What server and clients tell each other, as MessagePack; checked where it is read.

A session begins when a server asks its clients for keys, and lasts until it asks again. In it every
client deals, ahead of each of its rounds, shares of a fresh mask key: a `Deposit`, numbered so that
none is used twice.
"""

import hashlib
from typing import TypeVar

import msgspec

from narrows.errors import SessionError
from narrows.federated.secure.shares import threshold
from narrows.federated.secure.terms import UpdateTerms

T = TypeVar("T", bound="Told")

LEAST_CLIENTS = 3  # of a session and of a round: with two, the sum tells each the other's update


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message, or a part of one."""

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls: type[T], message: bytes) -> T:
        """Raises SessionError for bytes that are no such message."""
        try:
            return msgspec.msgpack.decode(message, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise SessionError(
                f"no {cls.__name__} of secure aggregation: {error}: do server and client run the "
                "same version of narrows?"
            ) from None


class Begin(Told, frozen=True):
    """Server to all: a new session; earlier ones are over."""

    session: bytes


class Member(Told, frozen=True):
    """A client's answer: its key for sealed messages, signed where it has credentials."""

    name: str
    public: bytes
    certificate_pem: bytes = b""
    signature: bytes = b""


class Roster(Told, frozen=True):
    """Server to all members, and to each once: who they are. The first `holders` hold shares."""

    session: bytes
    members: tuple[Member, ...]
    holders: int

    def digest(self) -> bytes:
        return hashlib.sha256(b"narrows secure roster 1" + self.encode()).digest()


class Deal(Told, frozen=True):
    """Server to a member that has no deposit: make one. With the roster where it has none."""

    roster: Roster | None


class Deposit(Told, frozen=True):
    """A client's next mask key: the public half, and shares of the private half."""

    serial: int  # rises with each of a client's deposits
    public: bytes
    signature: bytes  # over roster, serial and key; empty without credentials
    sealed: tuple[bytes, ...]  # a share for each holder; empty at its own place, if it is one


class Participant(Told, frozen=True):
    """Whose deposit is used in a round."""

    name: str
    serial: int
    public: bytes
    signature: bytes


class Plan(Told, frozen=True):
    """A round: what every client and holder must see alike."""

    roster_digest: bytes
    number: int
    terms: UpdateTerms
    participants: tuple[Participant, ...]

    def digest(self) -> bytes:
        return hashlib.sha256(b"narrows secure round 1" + self.encode()).digest()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(participant.name for participant in self.participants)


class MaskedUpdate(Told, frozen=True):
    """Client to server: its integers under masks, and what the server needs to take its own off."""

    head: bytes  # residues modulo 2**32
    coordinates: bytes  # modulo 2**b, b bits each
    commitment: bytes  # of the self mask's seed
    sealed: tuple[bytes, ...]  # the seed's share for each holder
    deposit: Deposit  # for this client's next round


class Survivors(Told, frozen=True):
    """Server to holders: whose updates have come. A holder says what it says for no other set."""

    plan: Plan
    names: tuple[str, ...]

    def digest(self) -> bytes:
        return hashlib.sha256(b"narrows secure survivors 1" + self.encode()).digest()

    @property
    def vanished(self) -> tuple[str, ...]:
        here = set(self.names)
        return tuple(name for name in self.plan.names if name not in here)


class Confirmation(Told, frozen=True):
    """Holder to each other holder, by the server: the set of survivors that it saw."""

    sealed: tuple[bytes, ...]


class Unmask(Told, frozen=True):
    """Server to a holder: open the shares sealed for it, of one secret per participant."""

    survivors: Survivors
    sealed: tuple[bytes, ...]  # by participant: of its seed if it survived, else of its key
    confirmations: dict[str, bytes]  # by holder, sealed for this one; empty when none vanished


class Revealed(Told, frozen=True):
    """Holder to server."""

    shares: bytes  # (participants, LIMBS) elements, little-endian


def enough(survivors: int, participants: int) -> bool:
    """Whether so many make a sum: more than two thirds of those who began."""
    return survivors >= threshold(participants)
