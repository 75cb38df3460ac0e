"""One-time codes: with one a device that has no certificate yet gets its first.

A code is 20 bytes in base32: by the first 10 a device knows the desk's certificate (SHA-256, RFC
8446 leaves such pinning to the application), the other 10 are the secret. The folder keeps only
their hashes: who reads it learns no code.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from narrows.errors import ConfigError
from narrows.security.files import alone, replace_file

CODES = "codes.json"
PIN_BYTES = SECRET_BYTES = 10
GUESSES = 5
GROUP = 4  # letters between hyphens


@dataclass
class Code:
    """What is kept of a code that was given out."""

    name: str  # the device's
    digest: str  # SHA-256 of the secret, hexadecimal
    expires: float  # seconds since 1970
    guesses: int = 0


def pin_of(certificate: x509.Certificate) -> bytes:
    """By what a device knows the desk."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).digest()[:PIN_BYTES]


def written(pin: bytes, secret: bytes) -> str:
    """A code as people copy it: ABCD-EFGH-..."""
    text = base64.b32encode(pin + secret).decode()
    return "-".join(text[i : i + GROUP] for i in range(0, len(text), GROUP))


def read_code(text: str) -> tuple[bytes, bytes]:
    """The desk's pin and the secret. Raises ConfigError: it is no code."""
    letters = "".join(text.split()).replace("-", "").upper()
    try:
        raw = base64.b32decode(letters)
    except ValueError:
        raw = b""
    if len(raw) != PIN_BYTES + SECRET_BYTES:
        raise ConfigError("that is no code: expected eight groups of four letters and digits")
    return raw[:PIN_BYTES], raw[PIN_BYTES:]


class Codes:
    """Codes that were given out and not yet used, in an authority's folder."""

    def __init__(self, folder: Path):
        self._path = folder / CODES

    def give(self, name: str, seconds: float) -> bytes:
        """A new secret for that device; an earlier one of its is void."""
        secret = secrets.token_bytes(SECRET_BYTES)
        with self._changing() as codes:
            codes[name] = Code(name, hashlib.sha256(secret).hexdigest(), time.time() + seconds)
        return secret

    def use(self, name: str, secret: bytes) -> bool:
        """Whether it is that device's code; it is no more afterwards, nor after GUESSES others."""
        with self._changing() as codes:
            code = codes.get(name)
            if code is None or time.time() > code.expires:
                codes.pop(name, None)
                return False
            if hmac.compare_digest(hashlib.sha256(secret).hexdigest(), code.digest):
                del codes[name]
                return True
            code.guesses += 1
            if code.guesses >= GUESSES:
                del codes[name]
            return False

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Code]]:
        """The codes, written when the block ends; one process at a time."""
        with alone(self._path.parent):
            rows = json.loads(self._path.read_text()) if self._path.exists() else []
            codes = {row["name"]: Code(**row) for row in rows}
            yield codes
            told = json.dumps([asdict(code) for code in codes.values()])
            replace_file(self._path, told.encode(), 0o600)
