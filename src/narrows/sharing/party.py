"""One party's part of a session, on arrays alone: as holder it shares, as evaluator it computes.

1. `share_table`: its table, once.
2. `share_round`: its weights of now and a fresh zero-mask, every round.
3. `respond`: what it computes from everybody's shares, every round, and all it sends to the server.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from narrows.errors import SharingError
from narrows.sharing import field
from narrows.sharing.evaluation import respond
from narrows.sharing.field import Field
from narrows.sharing.fixed_point import Reals
from narrows.sharing.schedule import Rows
from narrows.sharing.terms import Terms


@dataclass(frozen=True)
class RoundShare:
    """What a holder gives one evaluator in a round."""

    weights: Field  # (F, d_n, e)
    zero: Field | None  # (b, e); None: of an earlier round, whose mask is used up

    @classmethod
    def decode(cls, data: bytes, terms: Terms, holder: int, rows: int) -> "RoundShare":
        """Raises: SharingError: not as many bytes, or no elements of F_p."""
        p, d = terms.bounds.parameters.prime, terms.bounds.columns[holder]
        weights = terms.bounds.factors * d * terms.width
        if rows < 0:
            raise SharingError(f"{len(data)} bytes: fewer than the {8 * weights} of the weights")
        numbers = elements(data, weights + rows * terms.width, p)
        return cls(
            numbers[:weights].reshape(terms.bounds.factors, d, terms.width),
            numbers[weights:].reshape(rows, terms.width),
        )


def share_table(terms: Terms, table: Reals) -> Field:
    """(records, d_n) in the agreed order to shares (N, h + h', d_n) under fresh masks.

    Raises:
        ConfigError: a value out of the session's range.
    """
    residues = terms.bounds.data.quantise(table, terms.bounds.parameters.prime)
    return terms.code.share_segments(terms.schedule.arrange(residues))


def share_round(terms: Terms, weights: Reals, rows: int) -> list[bytes]:
    """(F, d_n, e) weights and a zero-mask for b rows, both under fresh masks: one text per party.

    Raises:
        ConfigError: a weight out of the session's range.
    """
    residues = terms.bounds.weights.quantise(weights, terms.bounds.parameters.prime)
    shares = terms.code.share_replicated(residues)
    zeros = terms.code.share_zero((rows, terms.width))
    return [w.tobytes() + z.tobytes() for w, z in zip(shares, zeros, strict=True)]


def compute(
    terms: Terms, data: Sequence[Field], shares: Sequence[RoundShare | None], rows: Rows
) -> Field:
    """(b, e): the sum over the holders of f on their shares and of their zero-masks.

    data: each holder's table share (h + h', d_n). shares: None of a holder that never shared
    weights, which then is no part of the sum.

    Raises:
        SharingError: T or fewer fresh zero-masks: with T parties on its side the server would see
            more than the sum.
    """
    p, t = terms.bounds.parameters.prime, terms.bounds.parameters.privacy
    fresh = [share.zero for share in shares if share is not None and share.zero is not None]
    if len(fresh) <= t:
        raise SharingError(
            f"{len(fresh)} fresh zero-masks: at least T + 1 = {t + 1} hide more than the sum from "
            f"a server with {t} parties on its side"
        )
    held = [(d[rows], s.weights) for d, s in zip(data, shares, strict=True) if s is not None]
    tables, weights = [d for d, _ in held], [w for _, w in held]
    if terms.bounds.factors == 1:  # the sum over holders is one product of all columns
        tables, weights = [np.concatenate(tables, axis=1)], [np.concatenate(weights, axis=1)]
    nothing = np.zeros((len(rows), terms.width), np.uint64)
    masks = [field.total(np.stack(fresh), p), *[nothing] * (len(tables) - 1)]
    return respond(tables, weights, masks, p)


def elements(data: bytes, count: int, p: int) -> Field:
    """(count,) elements of F_p of their bytes, eight each, little-endian.

    Raises:
        SharingError: other than that many, or one that is p or more.
    """
    if len(data) != 8 * count:
        raise SharingError(f"{len(data)} bytes: expected {count} elements of F_p, 8 bytes each")
    numbers = np.frombuffer(data, "<u8")
    if count and numbers.max() >= np.uint64(p):
        raise SharingError(f"an element of p or more: expected elements of F_p, p = {p}")
    return numbers


def reals(data: bytes, count: int) -> Reals:
    """(count,) numbers of their bytes, float32, little-endian.

    Raises:
        SharingError: other than that many, or one that is not finite.
    """
    if len(data) != 4 * count:
        raise SharingError(f"{len(data)} bytes: expected {count} numbers, 4 bytes each")
    numbers = np.frombuffer(data, "<f4").astype(np.float64)
    if not np.isfinite(numbers).all():
        raise SharingError("numbers that are not finite")
    return numbers
