"""Messages that one party seals for another, past a coordinator who relays all and reads none.

1. Each party makes an X25519 key pair for the session (`PartyKey`) and announces the public half,
   signed by its device's key: whoever relays can put another key in its place only with a
   certificate that the fleet's authority gave out under that party's name (`announce`, `verify`).
2. Each pair derives two keys, one for each direction, from X25519 of its keys by HKDF-SHA256; the
   session's context, both names and both public keys go in (`SealedChannel`).
3. A message is sealed by ChaCha20-Poly1305 under a random nonce; its kind, version, sender and
   receiver are authenticated with it, and it opens as nothing else.

The context is bytes that all parties of a session know and that no other session has: a fresh
identifier and what was agreed on. A message relayed twice opens twice: whoever receives takes one
of each kind and version from a sender. Relays see lengths, moments, and who writes to whom. A key
copied while the session lasts opens all its messages, those of the past too.

RFC 7748 (X25519), RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305), FIPS 186-5 (ECDSA).
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from narrows.errors import ConfigError, IdentityError, SealError
from narrows.security.files import CERTIFICATE, read_credentials, read_key
from narrows.security.identity import device_named_by
from narrows.security.keys import write_key

PUBLIC_BYTES = 32
NONCE_BYTES = 12
OVERHEAD_BYTES = NONCE_BYTES + 16  # what sealing adds: the nonce in front, the tag behind


class PartyKey:
    """A party's X25519 key pair of one session."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "PartyKey":
        return cls(X25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "PartyKey":
        """The key that `save` wrote, to resume a session.

        Raises:
            ConfigError: there is none, it is another kind of key, or others may read it.
        """
        try:
            private = serialization.load_pem_private_key(read_key(path), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{path}: no key of a session: {error}: start a new one") from None
        if not isinstance(private, X25519PrivateKey):
            raise ConfigError(f"{path}: expected an X25519 key, got {type(private).__name__}")
        return cls(private)

    def save(self, path: Path) -> None:
        """PKCS #8 in PEM, readable by its owner alone."""
        write_key(path, self._private)

    def agree(self, public: bytes) -> bytes:
        """The 32 secret bytes shared with the owner of `public`. ValueError for a weak key."""
        return self._private.exchange(X25519PublicKey.from_public_bytes(public))


@dataclass(frozen=True)
class Announcement:
    """A party's public key, and the proof of whose it is; both proofs are empty without TLS."""

    name: str
    public: bytes
    certificate_pem: bytes = b""
    signature: bytes = b""  # ECDSA P-256 with SHA-256, DER


def announce(key: PartyKey, name: str, context: bytes, folder: Path | None) -> Announcement:
    """Sign a session's key as the device whose credentials are in `folder`; None: unsigned.

    Raises:
        ConfigError: no credentials there, or they are another device's.
    """
    if folder is None:
        return Announcement(name, key.public)
    _, device_key, certificate_pem = read_credentials(folder, "device")
    try:
        private = serialization.load_pem_private_key(device_key, password=None)
        shown = _device_name(x509.load_pem_x509_certificate(certificate_pem))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{folder}: not a device's credentials: {error}: enroll again") from None
    if shown != name:
        raise ConfigError(
            f"{folder}: the certificate is of {shown or 'no device'}, but the party is called "
            f"{name}: enroll it under that name"
        )
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{folder}: expected an ECDSA key, got {type(private).__name__}")
    signed = _announced(name, key.public, context)
    signature = private.sign(signed, ec.ECDSA(hashes.SHA256()))
    return Announcement(name, key.public, certificate_pem, signature)


def verify(announcement: Announcement, context: bytes, folder: Path | None) -> bytes:
    """The public key of the party that `announcement` names, by the authority that `folder` trusts.

    Without credentials of one's own (None) only unsigned announcements are taken, as nothing is
    proved: that is for parties of one machine.

    Raises:
        IdentityError: not signed by that device's key for this session, or its certificate is not
            the authority's, not in its time or of another name.
        ConfigError: no authority's certificate in `folder`.
    """
    name = announcement.name
    if len(announcement.public) != PUBLIC_BYTES:
        raise IdentityError(
            f"party {name}: expected a public key of {PUBLIC_BYTES} bytes, "
            f"got {len(announcement.public)}"
        )
    if folder is None:
        if announcement.certificate_pem or announcement.signature:
            raise IdentityError(
                f"party {name} signs, and there is no authority here to check it by: give --tls"
            )
        return announcement.public
    if not announcement.certificate_pem:
        raise IdentityError(f"party {name} shows no certificate: all parties must be given --tls")
    certificate = _certified(name, announcement.certificate_pem, _authority(folder))
    public = certificate.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise IdentityError(f"party {name}: expected an ECDSA key, got {type(public).__name__}")
    signed = _announced(name, announcement.public, context)
    try:
        public.verify(announcement.signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise IdentityError(
            f"party {name}: the key was not signed by its device for this session: whoever relays "
            "it may have put another in its place"
        ) from None
    return announcement.public


class SealedChannel:
    """One party's end of all its pairs: keys are derived once, when it is made."""

    def __init__(
        self, key: PartyKey, name: str, context: bytes, peers: Mapping[str, bytes]
    ) -> None:
        """`peers`: every other party's name and verified public key.

        Raises:
            IdentityError: a public key with which no secret can be shared.
        """
        self.name = name
        self._outgoing: dict[str, ChaCha20Poly1305] = {}
        self._incoming: dict[str, ChaCha20Poly1305] = {}
        for peer, public in peers.items():
            try:
                secret = key.agree(public)
            except ValueError as error:
                raise IdentityError(f"party {peer}: no usable public key: {error}") from None
            mine, theirs = (name, key.public), (peer, public)
            self._outgoing[peer] = _direction(secret, context, mine, theirs)
            self._incoming[peer] = _direction(secret, context, theirs, mine)

    def seal(self, receiver: str, kind: str, version: int, message: bytes) -> bytes:
        """`message` for `receiver` alone, longer by OVERHEAD_BYTES.

        Raises:
            IdentityError: no party of that name in this session.
        """
        nonce = os.urandom(NONCE_BYTES)
        associated = _associated(kind, version, self.name, receiver)
        return nonce + self._of(self._outgoing, receiver).encrypt(nonce, message, associated)

    def open(self, sender: str, kind: str, version: int, sealed: bytes) -> bytes:
        """The message that `sender` sealed for this party as that kind and version.

        Raises:
            SealError: it is not, or it was altered.
            IdentityError: no party of that name in this session.
        """
        associated = _associated(kind, version, sender, self.name)
        pair = self._of(self._incoming, sender)
        try:
            # One shorter than the overhead has no whole tag: InvalidTag, or ValueError of the nonce
            return pair.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except (InvalidTag, ValueError):
            raise SealError(
                f"{kind} {version} from {sender} to {self.name}: {len(sealed)} bytes that do not "
                "open: altered on the way, or sealed for another receiver, kind, version or session"
            ) from None

    def _of(self, pairs: dict[str, ChaCha20Poly1305], peer: str) -> ChaCha20Poly1305:
        try:
            return pairs[peer]
        except KeyError:
            raise IdentityError(
                f"{self.name} has no key of party {peer}; it has those of {', '.join(pairs)}"
            ) from None


def _authority(folder: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder / CERTIFICATE}: no authority's certificate: {error}: `narrows pki` puts it"
        ) from None


def _certified(name: str, pem: bytes, authority: x509.Certificate) -> x509.Certificate:
    """The certificate, of that device, by that authority, in its time. Raises IdentityError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise IdentityError(f"party {name}: no certificate: {error}") from None
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        raise IdentityError(
            f"party {name}: certified by another than this fleet's authority"
        ) from None
    shown = _device_name(certificate)
    if shown != name:
        raise IdentityError(f"party {name} shows the certificate of {shown or 'no device'}")
    now = datetime.now(timezone.utc)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        raise IdentityError(
            f"party {name}: its certificate holds from {begins:%F %T} to {ends:%F %T} UTC, "
            f"and it is {now:%F %T}: renew it, or set the clock"
        )
    return certificate


def _device_name(certificate: x509.Certificate) -> str | None:
    device = device_named_by(certificate)
    return device.name if device else None


def _direction(
    secret: bytes, context: bytes, sender: tuple[str, bytes], receiver: tuple[str, bytes]
) -> ChaCha20Poly1305:
    """The key of one direction of a pair; sender and receiver as names and public keys."""
    digest = hashlib.sha256(context).digest()
    ends = (sender[0].encode(), sender[1], receiver[0].encode(), receiver[1])
    info = _framed(b"narrows sealed 1", digest, *ends)
    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(secret))


def _announced(name: str, public: bytes, context: bytes) -> bytes:
    digest = hashlib.sha256(context).digest()
    return _framed(b"narrows party key 1", digest, name.encode(), public)


def _associated(kind: str, version: int, sender: str, receiver: str) -> bytes:
    return _framed(kind.encode(), str(version).encode(), sender.encode(), receiver.encode())


def _framed(*fields: bytes) -> bytes:
    """Each field behind its length, so that no two lists of fields are the same bytes."""
    return b"".join(len(field).to_bytes(8, "big") + field for field in fields)
