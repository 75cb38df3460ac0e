"""Private set intersection: which records all members have, told to nobody else about any other.

Members 0..n (the parties, and the coordinator as the last of them) each have a secret scalar, fresh
for the session. A record id is hashed to a point of Curve25519, and blinding multiplies by the
scalar; as that commutes, equal ids are equal points once all members have blinded them, whoever
began, and points that some member has not blinded yet are random to everybody else:

1. `first`: a member hashes and blinds its ids, in a random order that it keeps.
2. `blind`: the set goes around the ring, i+1, i+2, ..., i-1 (`hops`), sealed from hop to hop. Each
   blinds the points and puts them into a new random order that it keeps.
3. `intersect`: the coordinator gets the n+1 sets, blinded by all. What is in all of them, sorted by
   its blinded value, is the common order; it notes the positions of these points in each set.
4. `back`: the positions go back the way that the set came, each hop undoing its own order.
5. `rows`: the owner undoes its own and has its rows of the common records, in the common order.

Meadows, "A more efficient cryptographic matchmaking protocol" (S&P 1986); Huberman, Franklin, Hogg,
"Enhancing privacy and trust in electronic communities" (EC 1999). For members that follow the
protocol, but learn what they can from all they see, by the decisional Diffie-Hellman assumption and
with the hash as a random function:

* Everybody learns the sizes of the n+1 sets, the number of common records, which of its own these
  are, and nothing of its other records.
* The coordinator learns besides how many records are in each region of the Venn diagram of the n+1
  sets. Which ones, it learns where the count is none, or all that the region could hold.
* Members who tell each other everything learn at most these counts, for all of them, of those who
  do not, however few those are: an id that is alone in its region of their own sets is an answer.
  Ids pass every honest member, who alone can blind with its scalar, and come out in an order that
  it alone knows. (If only the last hop shuffled, two members could test each of their ids against
  the set of a third.)
* Nobody can try out guessed ids but in a set of its own. Who lies about its set learns which of the
  ids in it all others have, and counts for a set of one id are answers: look at the sizes.

A set's ids are compared as exact Unicode text without white space at either end, in UTF-8: neither
letter case nor leading zeros nor composed characters are made equal.
"""

from collections.abc import Iterable, Sequence
from itertools import count

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from numpy.typing import NDArray

from narrows.errors import ConfigError, UnusableSet
from narrows.sharing.randomness import permutation

Positions = NDArray[np.int64]

POINT_BYTES = 32
PRIME = 2**255 - 19
COEFFICIENT = 486662  # the curve is v**2 = u**3 + COEFFICIENT u**2 + u
DOMAIN = b"narrows record id on curve25519 1"


class Blinder:
    """One member's scalar and the orders it put sets into, for one session.

    Sets are bytes: the u-coordinates of their points, 32 bytes each (RFC 7748).
    """

    def __init__(self, context: bytes) -> None:
        """`context`: bytes that all members of this session know and no other session has."""
        self._context = context
        self._scalar = X25519PrivateKey.generate()
        self._own_order: Positions = np.empty(0, np.int64)
        self._orders: dict[int, Positions] = {}

    def first(self, ids: Sequence[str]) -> bytes:
        """This member's own set, for the ring's next.

        Raises:
            ConfigError: ids that stand more than once or are empty; it says how many and names a
                row, never an id.
        """
        records = _records(ids)
        self._own_order = permutation(len(records))
        start = _hash_of(self._context)
        return self._blinded(_on_curve(start, records[row]) for row in self._own_order)

    def blind(self, owner: int, points: bytes) -> bytes:
        """The set of member `owner`, blinded by this one too, in a new order. Once for each owner.

        Raises:
            UnusableSet: not whole points, a point that gives the scalar away, or a second set.
        """
        if owner in self._orders:
            raise UnusableSet(f"set of member {owner}: came twice, but each is blinded once")
        order = permutation(len(_split(owner, points)))
        try:
            blinded = self._blinded(_at(points, position) for position in order)
        except ValueError:
            raise UnusableSet(
                f"set of member {owner}: holds a point of small order, which hashing does not make"
            ) from None
        self._orders[owner] = order
        return blinded

    def back(self, owner: int, positions: Positions) -> Positions:
        """Positions in what `blind` returned, as positions in what it was given.

        Raises:
            UnusableSet: no set of that owner was blinded, or a position is not in it, or twice.
        """
        if owner not in self._orders:
            raise UnusableSet(f"positions in the set of member {owner}, which did not come by here")
        return _taken(f"set of member {owner}", self._orders[owner], positions)

    def rows(self, positions: Positions) -> Positions:
        """Positions in what `first` returned, as rows of the ids it was given.

        Raises:
            UnusableSet: a position is not in it, or twice.
        """
        return _taken("own set", self._own_order, positions)

    def _blinded(self, points: Iterable[bytes]) -> bytes:
        """ValueError where a product is the neutral element."""
        exchange, point = self._scalar.exchange, X25519PublicKey.from_public_bytes
        return b"".join([exchange(point(u)) for u in points])


def hops(owner: int, members: int) -> list[int]:
    """The members that the set of `owner` visits, in order."""
    return [(owner + step) % members for step in range(1, members)]


def intersect(sets: Sequence[bytes]) -> list[Positions]:
    """Of sets that all members have blinded: each one's positions of the points that are in all.

    Raises:
        UnusableSet: not whole points, or a point that stands twice in one set.
    """
    common: set[bytes] = set()
    for owner, points in enumerate(sets):
        distinct = set(whole := _split(owner, points))
        if len(distinct) != len(whole):
            raise UnusableSet(
                f"set of member {owner}: {len(whole) - len(distinct)} of {len(whole)} points stand "
                "there more than once"
            )
        common = common & distinct if owner else distinct
    ranks = {point: rank for rank, point in enumerate(sorted(common))}
    return [_positions(_split(owner, points), ranks) for owner, points in enumerate(sets)]


def pack(positions: Positions) -> bytes:
    """As they travel: 8 bytes each, little-endian."""
    return positions.astype("<i8").tobytes()


def unpack(text: bytes) -> Positions:
    """Raises: UnusableSet: not whole numbers of 8 bytes."""
    if len(text) % 8:
        raise UnusableSet(f"{len(text)} bytes are not positions of 8")
    return np.frombuffer(text, "<i8").astype(np.int64)


def hash_to_curve(context: bytes, record: str) -> bytes:
    """The u-coordinate of a record's point: on the curve, never on its twist.

    SHA-512/256 of the domain, the context, the record and a counter, until the hash is a u for
    which the curve has a v. What X25519 makes of a u on the twist stays there, and would tell one
    bit of the record through every blinding. Of u and its two points blinding keeps the u alone,
    and scalars are multiples of 8, so the group's small factor is gone with the first of them.
    """
    return _on_curve(_hash_of(context), _record(record))


def _hash_of(context: bytes) -> hashes.Hash:
    start = hashes.Hash(hashes.SHA512_256())
    start.update(DOMAIN + len(context).to_bytes(8, "big") + context)
    return start


def _on_curve(start: hashes.Hash, record: bytes) -> bytes:
    with_record = start.copy()
    with_record.update(record)
    candidates = (_candidate(with_record, attempt) for attempt in count())  # two, on average
    u = next(u for u in candidates if legendre(u * (u * (u + COEFFICIENT) + 1)) == 1)
    return u.to_bytes(POINT_BYTES, "little")


def _candidate(with_record: hashes.Hash, attempt: int) -> int:
    digest = with_record.copy()
    digest.update(attempt.to_bytes(4, "big"))
    return int.from_bytes(digest.finalize(), "little") % PRIME


def legendre(x: int) -> int:
    """1 for a square modulo PRIME, -1 for none, 0 for 0: Jacobi's symbol by Euclid's algorithm.

    A quarter of the time of pow(x, (PRIME - 1) // 2, PRIME).
    """
    a, n, symbol = x % PRIME, PRIME, 1
    while a:
        twos = (a & -a).bit_length() - 1
        a >>= twos
        if twos & 1 and n & 7 in (3, 5):
            symbol = -symbol
        if a & n & 2:  # both 3 modulo 4: reciprocity
            symbol = -symbol
        a, n = n % a, a
    return symbol if n == 1 else 0


def _records(ids: Sequence[str]) -> list[bytes]:
    """The ids as they are hashed. Raises ConfigError."""
    records = [_record(text) for text in ids]
    rows: dict[bytes, int] = {}
    repeated = [row for row, record in enumerate(records) if rows.setdefault(record, row) != row]
    if repeated:
        raise ConfigError(
            f"{len(repeated)} of {len(records)} record ids stand in an earlier row already, the "
            f"first of them in row {repeated[0]}, counted from 0: keep one row for each record"
        )
    if b"" in rows:
        raise ConfigError(f"row {rows[b'']}, counted from 0, has an empty record id: leave it out")
    return records


def _record(text: str) -> bytes:
    return text.strip().encode("utf-8", "surrogatepass")


def _split(owner: int, points: bytes) -> list[bytes]:
    if len(points) % POINT_BYTES:
        raise UnusableSet(
            f"set of member {owner}: {len(points)} bytes are not points of {POINT_BYTES}"
        )
    return [_at(points, position) for position in range(len(points) // POINT_BYTES)]


def _at(points: bytes, position: int) -> bytes:
    return points[position * POINT_BYTES : (position + 1) * POINT_BYTES]


def _positions(points: list[bytes], ranks: dict[bytes, int]) -> Positions:
    """Where in `points` those of every rank are."""
    found = np.empty(len(ranks), np.int64)
    for position, point in enumerate(points):
        if point in ranks:
            found[ranks[point]] = position
    return found


def _taken(what: str, order: Positions, positions: Positions) -> Positions:
    inside = (positions >= 0) & (positions < len(order))
    if not inside.all() or len(np.unique(positions)) != len(positions):
        raise UnusableSet(
            f"{what}: {len(positions)} positions that are not all different ones of {len(order)}"
        )
    return order[positions]
