"""A party before the terms are agreed: keys, and which records all have (docs/sharing.md)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from narrows.edge.vertical.kept import Kept, Membership, channel
from narrows.edge.vertical.table import Table
from narrows.errors import SessionError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.security.sealed import Announcement, PartyKey, SealedChannel, announce, verify
from narrows.sharing.intersection import Blinder, Positions, hops, pack, unpack
from narrows.sharing.terms import Terms

POINTS, POSITIONS = "points", "positions"  # kinds of sealed messages


class Meeting:
    """From the introduction to the terms."""

    def __init__(self, asked: pb.Introduce, name: str, kept: Kept, tls: Path | None) -> None:
        if list(asked.parties).count(name) != 1:
            raise SessionError(f"parties {list(asked.parties)}: expected {name!r} among them, once")
        self._session, self._parties = asked.session, tuple(asked.parties)
        self._name, self._index = name, self._parties.index(name)
        self._kept, self._tls = kept, tls
        self._key = PartyKey.generate()
        self._blinder = Blinder(self._session.encode())
        self._keys: tuple[bytes, ...] = ()
        self._aligned = False

    def introduction(self, records: int, columns: int) -> pb.Introduction:
        """The own key, and how much there is."""
        told = announce(self._key, self._name, self._session.encode(), self._tls)
        return pb.Introduction(
            public_key=told.public, certificate=told.certificate_pem, signature=told.signature,
            records=records, columns=columns,
        )  # fmt: skip

    def meet(self, asked: pb.Meet, ids: Sequence[str]) -> pb.Blinded:
        """Check everybody's key, then the own ids, blinded.

        Raises:
            IdentityError: a key that its party did not sign.
        """
        if len(asked.introductions) != len(self._parties):
            raise SessionError(
                f"{len(asked.introductions)} introductions: expected {len(self._parties)}"
            )
        self._keys = tuple(
            verify(
                Announcement(name, told.public_key, told.certificate, told.signature),
                self._session.encode(), self._tls,
            )
            for name, told in zip(self._parties, asked.introductions, strict=True)
        )  # fmt: skip
        if self._keys[self._index] != self._key.public:
            raise SessionError("the coordinator tells others a key that is not this party's")
        self._aligned = asked.aligned
        if asked.aligned:
            return pb.Blinded()
        receiver = hops(self._index, len(self._parties) + 1)[0]
        points = self._blinder.first(ids)
        return pb.Blinded(points=self._sealed(receiver, POINTS, self._index, points))

    def blind(self, asked: pb.Blind) -> pb.Blinded:
        """Another's ids, blinded once more."""
        points = self._opened(asked.sender, POINTS, asked.owner, asked.points)
        blinded = self._blinder.blind(asked.owner, points)
        return pb.Blinded(points=self._sealed(asked.receiver, POINTS, asked.owner, blinded))

    def locate(self, asked: pb.Locate) -> pb.Located:
        """Positions in what this party made of a set, as positions in what it was given."""
        text = self._opened(asked.sender, POSITIONS, asked.owner, asked.positions)
        text = pack(self._blinder.back(asked.owner, unpack(text)))
        return pb.Located(positions=self._sealed(asked.receiver, POSITIONS, asked.owner, text))

    def agree(self, asked: pb.Agree, table: Table, least_privacy: int, plain: bool) -> Membership:
        """Check the terms, and begin a session with the common records.

        Raises:
            ConfigError: the terms do not hold together, or a sum could wrap around.
            SessionError: they are not what this party can agree to.
        """
        terms = Terms.decode(asked.terms)
        mine = {
            "session": (terms.session, self._session),
            "parties": (terms.parties, self._parties),
            "columns of this party": (terms.bounds.columns[self._index], table.coded.shape[1]),
        }
        for what, (said, known) in mine.items():
            if said != known:
                raise SessionError(f"the terms' {what}: {said}, expected {known}")
        if not terms.protected and not plain:
            raise SessionError(
                "the coordinator asks for everything in the clear: --allow-plain agrees to that"
            )
        privacy = terms.bounds.parameters.privacy
        if privacy < least_privacy:
            raise SessionError(
                f"T = {privacy} parties together learn nothing: this party asks for "
                f"T = {least_privacy} at least"
            )
        rows = self._rows(asked, len(table.ids))
        schedule = terms.schedule
        if len(rows) != schedule.records:
            raise SessionError(f"{len(rows)} common records: the terms say {schedule.records}")
        common = table.select(rows.tolist())
        if schedule.epochs:  # else weights are there already, and what they were learnt with
            common = common.rescaled(schedule.records - schedule.held_out)
        membership = Membership(terms, self._index, self._keys)
        self._kept.begin(membership, common, self._key)
        return membership

    def _rows(self, asked: pb.Agree, records: int) -> Positions:
        if self._aligned:
            return np.arange(records)
        text = self._opened(asked.sender, POSITIONS, self._index, asked.positions)
        return self._blinder.rows(unpack(text))

    def _sealed(self, receiver: int, kind: str, owner: int, text: bytes) -> bytes:
        """For a party sealed, for the coordinator as it is."""
        if receiver == len(self._parties):
            return text
        return self._channel().seal(self._party(receiver), kind, owner, text)

    def _opened(self, sender: int, kind: str, owner: int, text: bytes) -> bytes:
        if sender == len(self._parties):
            return text
        return self._channel().open(self._party(sender), kind, owner, text)

    def _party(self, index: int) -> str:
        if index >= len(self._parties):
            raise SessionError(f"party {index}: there are {len(self._parties)}")
        return self._parties[index]

    def _channel(self) -> SealedChannel:
        if not self._keys:
            raise SessionError("asked for more before everybody's keys were told")
        return channel(self._key, self._session, self._parties, self._index, self._keys)
