"""Secrets of 32 bytes, cut into field elements and shared so that any t holders rebuild them.

Shamir's sharing is the Lagrange code of `narrows.sharing` with one segment and degree one.
"""

from functools import lru_cache

import numpy as np

from narrows.sharing.code import LagrangeCode
from narrows.sharing.decoding import Decoded, Decoder, Responses
from narrows.sharing.field import Field
from narrows.sharing.parameters import SharingParameters

SECRET_BYTES = 32
LIMB_BITS = 60  # below the prime's 61: every cut is an element
LIMBS = -(-8 * SECRET_BYTES // LIMB_BITS)
SHARE_BYTES = 8 * LIMBS


def threshold(parties: int) -> int:
    """t = floor(2n/3) + 1: more than two thirds.

    No two sets of t have fewer than n/3 in common, so whoever shows different survivors to
    different holders needs a third of them as accomplices; and 30 % of any n may be gone.
    """
    return 2 * parties // 3 + 1


@lru_cache
def shamir(holders: int) -> LagrangeCode:
    """Any t = threshold(holders) of them rebuild, any t - 1 know nothing. holders >= 2."""
    return LagrangeCode(SharingParameters(holders, 1, threshold(holders) - 1, degree=1))


def share(secret: bytes, holders: int) -> list[bytes]:
    """A share for each holder, under fresh coefficients from the system's generator."""
    shares = shamir(holders).share_segments(_limbs(secret)[None])
    return [row.astype("<u8").tobytes() for row in shares]


def rebuild(responses: Responses, holders: int, secrets: int) -> tuple[list[bytes | None], Decoded]:
    """The secrets from t or more holders' shares (secrets, LIMBS); wrong ones left out and named.

    None stands where what was shared was no secret of 32 bytes.

    Raises:
        TooFewResponses: fewer than t holders' shares.
        WrongResponses: more wrong ones than the surplus can correct.
    """
    decoded = Decoder(shamir(holders)).correct(responses, (secrets, LIMBS))
    return [_secret(row) for row in decoded.sums[0]], decoded


def elements(shares: bytes, secrets: int) -> Field | None:
    """A holder's message as (secrets, LIMBS) elements; None when it has another length."""
    if len(shares) != secrets * SHARE_BYTES:
        return None
    return np.frombuffer(shares, "<u8").astype(np.uint64).reshape(secrets, LIMBS)


def _limbs(secret: bytes) -> Field:
    number = int.from_bytes(secret, "big")
    cuts = [number >> (LIMB_BITS * i) & ((1 << LIMB_BITS) - 1) for i in range(LIMBS)]
    return np.array(cuts, np.uint64)


def _secret(limbs: Field) -> bytes | None:
    number = sum(int(limb) << (LIMB_BITS * i) for i, limb in enumerate(limbs))
    whole = number >> 8 * SECRET_BYTES == 0 and all(int(x) >> LIMB_BITS == 0 for x in limbs)
    return number.to_bytes(SECRET_BYTES, "big") if whole else None
