"""Who is at the other end of a connection: the device that its certificate names."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from narrows.errors import ConfigError
from narrows.security.authority import DEVICE_URN, read_revoked
from narrows.security.files import CERTIFICATE, REVOKED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """A device as its certificate names it."""

    name: str
    serial: int


def identity_of(auth_context: Mapping[str, Sequence[bytes]]) -> Identity | None:
    """The device at the other end, from gRPC's `auth_context`; None without a device's certificate.

    TLS has checked by now that the fleet's authority signed it and that it is in its time.
    """
    pem = auth_context.get("x509_pem_cert")
    if not pem:
        return None
    return device_named_by(x509.load_pem_x509_certificate(pem[0]))


def device_named_by(certificate: x509.Certificate) -> Identity | None:
    """The device that a certificate was issued to; None when it is not a device's."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(DEVICE_URN):
            return Identity(uri.removeprefix(DEVICE_URN), certificate.serial_number)
    return None


class Revocations:
    """The serial numbers on the list beside a server's certificate, read again when it changes."""

    def __init__(self, folder: Path):
        """Raises ConfigError when there is no list, or the authority did not sign it."""
        self._path = folder / REVOKED
        self._authority = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        self._stamp = self._stamped()
        self._serials = read_revoked(self._path, self._authority)

    def has(self, identity: Identity) -> bool:
        """Whether that certificate is on the list now. A list that is no list changes nothing."""
        stamp = self._stamped()
        if stamp != self._stamp:
            try:
                self._serials = read_revoked(self._path, self._authority)
            except ConfigError as error:  # the last good one stands until there is a new one
                log.error("the revocation list stays as it was: %s", error)
            self._stamp = stamp
        return identity.serial in self._serials

    def _stamped(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_ino, status.st_size)
