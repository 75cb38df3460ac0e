"""What a party keeps of a session on disk, so that it can end at any moment and come back.

session.json         the terms, the parties' keys, this party's place
key                  its own key, 0600
table.safetensors    its own columns, as the session has them
shares-N.safetensors its share of party N's table
preparation.json     how its file's columns became the table's
round                the last it computed on shares
weights.safetensors  its weights and what Adam remembers; the part it ends with
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from narrows.edge.vertical.local import Adam
from narrows.edge.vertical.table import Preparation, Table
from narrows.errors import ConfigError, SessionError
from narrows.security.sealed import PartyKey, SealedChannel
from narrows.sharing.field import Field
from narrows.sharing.fixed_point import Reals
from narrows.sharing.terms import Terms

SESSION, KEY, TABLE, WEIGHTS = "session.json", "key", "table.safetensors", "weights.safetensors"
ROUND = "round"
PREPARATION = "preparation.json"


@dataclass(frozen=True)
class Membership:
    """A party's place in a session."""

    terms: Terms
    index: int
    keys: tuple[bytes, ...]  # every party's public key, 32 bytes

    def channel(self, key: PartyKey) -> SealedChannel:
        """Sealed messages from this party and to it."""
        return channel(key, self.terms.session, self.terms.parties, self.index, self.keys)


def channel(
    key: PartyKey, session: str, parties: Sequence[str], index: int, keys: Sequence[bytes]
) -> SealedChannel:
    """Between all parties of a session; a party's message to itself is sealed as well."""
    peers = dict(zip(parties, keys, strict=True))
    return SealedChannel(key, parties[index], session.encode(), peers)


class Kept:
    """One session in one folder, readable by its owner alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder

    @property
    def key(self) -> Path:
        return self.folder / KEY

    def begin(self, membership: Membership, table: Table, key: PartyKey) -> None:
        """A session that everybody agreed to; what was of another is gone."""
        shares = self.folder.glob("shares-*.safetensors")
        for old in (self.folder / SESSION, *shares, self.folder / WEIGHTS, self.folder / ROUND):
            old.unlink(missing_ok=True)
        key.save(self.key)
        self._write(TABLE, save({"table": table.within(membership.terms.bounds.data.limit)}))
        self._write(PREPARATION, table.preparation.encode())
        told = {
            "terms": membership.terms.encoded.decode(),
            "index": membership.index,
            "keys": [key.hex() for key in membership.keys],
        }
        self._write(SESSION, json.dumps(told).encode())

    def membership(self) -> Membership | None:
        """Of the session that stands here; None where none does. Raises SessionError."""
        path = self.folder / SESSION
        if not path.exists():
            return None
        try:
            told = json.loads(path.read_bytes())
            keys = tuple(bytes.fromhex(key) for key in told["keys"])
            terms, index = Terms.decode(str(told["terms"]).encode()), int(told["index"])
            if not 0 <= index < len(keys) == len(terms.parties):
                raise ValueError(f"party {index} and {len(keys)} keys of {len(terms.parties)}")
            return Membership(terms, index, keys)
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise SessionError(
                f"{path}: not a session: {error}: another folder begins anew"
            ) from None

    def table(self) -> Reals:
        return self._load(TABLE)["table"]

    def keep_share(self, holder: int, share: Field) -> None:
        self._write(f"shares-{holder}.safetensors", save({"share": share}))

    def shares(self) -> dict[int, Field]:
        """By holder, of those whose table's share came."""
        paths = self.folder.glob("shares-*.safetensors")
        return {int(p.stem.split("-")[1]): self._load(p.name)["share"] for p in paths}

    def keep_round(self, round: int) -> None:
        self._write(ROUND, str(round).encode())

    def round(self) -> int:
        """The last round computed on shares; 0: none. Raises SessionError."""
        path = self.folder / ROUND
        try:
            return int(path.read_bytes()) if path.exists() else 0
        except (OSError, ValueError) as error:
            raise SessionError(f"{path}: {error}: another folder begins anew") from None

    def keep_weights(self, weights: Reals, adam: Adam, learnt_round: int) -> None:
        steps = np.array([adam.steps, learnt_round])
        self._write(
            WEIGHTS,
            save({"weights": weights, "mean": adam.mean, "square": adam.square, "steps": steps}),
        )

    def weights(self, adam: Adam) -> tuple[Reals, int] | None:
        """The weights and the round of the last gradient; `adam` remembers again."""
        if not (self.folder / WEIGHTS).exists():
            return None
        held = self._load(WEIGHTS)
        adam.mean, adam.square, adam.steps = held["mean"], held["square"], int(held["steps"][0])
        return held["weights"], int(held["steps"][1])

    def learnt(self) -> Reals:
        """The weights that a session ended with. Raises SessionError."""
        return self._load(WEIGHTS)["weights"]

    def preparation(self) -> Preparation:
        """How the session's table was made. Raises SessionError."""
        path = self.folder / PREPARATION
        try:
            return Preparation.decode(path.read_bytes())
        except (OSError, ConfigError) as error:
            raise SessionError(f"{path}: no table's preparation: {error}") from None

    def _load(self, name: str) -> dict[str, np.ndarray]:
        try:
            return load_file(self.folder / name)
        except (OSError, SafetensorError) as error:
            raise SessionError(
                f"{self.folder / name}: {error}: another folder begins anew"
            ) from None

    def _write(self, name: str, data: bytes) -> None:
        """Whole or not at all, and for the owner's eyes."""
        arriving = self.folder / f".{name}"
        descriptor = os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(arriving, self.folder / name)
