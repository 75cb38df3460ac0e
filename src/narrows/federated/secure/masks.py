"""Masks: uniform integers that only the holder of a seed can draw, from ChaCha20 (RFC 8439).

Words are taken modulo a power of two, which divides 2**32: every residue is equally likely, and
nothing needs to be drawn again, as it would modulo a prime.
"""

import hashlib

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from narrows.errors import IdentityError
from narrows.security.sealed import PartyKey

Words = NDArray[np.uint32]

SEED_BYTES = 32


def words(seed: bytes, count: int) -> Words:
    """The first `count` 32-bit words, little-endian, of ChaCha20's key stream under that key.

    The nonce and the counter start at zero: a seed is for one stream.
    """
    stream = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(4 * count)), "<u4").astype(np.uint32, copy=False)


def pairwise_seed(own: PartyKey, public: bytes, round_digest: bytes) -> bytes:
    """The seed that two clients have in common for one round; the same at both ends.

    Raises:
        IdentityError: a public key with which no secret can be shared.
    """
    low, high = sorted((own.public, public))
    try:
        agreed = own.agree(public)
    except ValueError as error:
        raise IdentityError(f"a mask key with which none can agree: {error}") from None
    info = b"narrows pairwise mask 1" + round_digest + low + high  # each of 32 bytes
    return HKDF(hashes.SHA256(), SEED_BYTES, salt=None, info=info).derive(agreed)


def commitment(seed: bytes) -> bytes:
    """What a client shows of its own mask's seed, to tell a wrongly rebuilt one."""
    return hashlib.sha256(b"narrows self mask 1" + seed).digest()
