"""A fleet's own certificate authority: ECDSA P-256, X.509 v3 (RFC 5280), in one folder.

    ca.key       the authority's key, readable by its owner alone; needed to enroll, not to serve
    ca.crt       its certificate, which devices and servers trust and nothing else
    issued.json  every certificate issued: name, kind, serial number, expiry
    revoked.pem  the revocation list that servers read

A device is named by a URI in its certificate, `urn:narrows:device:NAME`; a server by its DNS names
and addresses. Neither can stand in for the other.
"""

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from narrows.errors import ConfigError
from narrows.security.files import CERTIFICATE, ISSUED, KEY, REVOKED, alone, replace_file
from narrows.security.keys import write_key

DEVICE_URN = "urn:narrows:device:"
AUTHORITY_DAYS = 3650
SLACK = timedelta(hours=2)  # a device's clock may be behind
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Issued:
    """One certificate that this authority signed."""

    name: str
    kind: str  # device or server
    serial: str  # hexadecimal
    expires: str  # ISO 8601, UTC
    folder: str  # where its files were put


class Authority:
    """The folder above, open for issuing."""

    def __init__(self, folder: Path):
        """Raises ConfigError when `folder` holds no authority."""
        self.folder = folder
        try:
            self._certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
            key = serialization.load_pem_private_key((folder / KEY).read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{folder}: no authority: {error}: make one with `narrows pki init`"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{folder / KEY}: expected an ECDSA key, got {type(key).__name__}")
        self._key = key

    @classmethod
    def create(cls, folder: Path, name: str = "narrows") -> "Authority":
        """A new authority. Raises ConfigError where there is one already."""
        if (folder / KEY).exists():
            raise ConfigError(f"{folder}: has an authority: a new one would disown its fleet")
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        now = datetime.now(timezone.utc)
        certificate = (
            _builder(subject, subject, key.public_key(), now, timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        write_key(folder / KEY, key)
        (folder / CERTIFICATE).write_bytes(_pem(certificate))
        authority = cls(folder)
        authority._write_issued([])
        authority._write_revoked([])
        return authority

    def issued(self) -> list[Issued]:
        """All that was issued, in order."""
        return [Issued(**row) for row in json.loads((self.folder / ISSUED).read_text())]

    def revoked(self) -> frozenset[int]:
        """Serial numbers on the list."""
        return frozenset(entry.serial_number for entry in _read_list(self.folder / REVOKED))

    def enroll(self, name: str, out: Path, days: float = 7.0) -> Issued:
        """A key and a short-lived certificate for a device.

        `out` gets device.key, device.crt, ca.crt. Raises ConfigError for what is no name.
        """
        check_name(name)
        names = [x509.UniformResourceIdentifier(DEVICE_URN + name)]
        return self._issue(name, "device", names, ExtendedKeyUsageOID.CLIENT_AUTH, out, days)

    def certify(self, name: str, public: ec.EllipticCurvePublicKey, days: float = 7.0) -> bytes:
        """A short-lived certificate (PEM) for a device that has its key itself.

        Raises:
            ConfigError: for what is no name.
        """
        check_name(name)
        names = [x509.UniformResourceIdentifier(DEVICE_URN + name)]
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = self._certified(name, names, purpose, public, days)
        self._recorded(name, "device", certificate, "")
        return _pem(certificate)

    @property
    def certificate(self) -> bytes:
        """The authority's own, PEM."""
        return _pem(self._certificate)

    def serve(self, name: str, hosts: list[str], out: Path, days: float = 90.0) -> Issued:
        """A key and a certificate for a server reached as `hosts`, DNS names or addresses.

        `out` gets server.key, server.crt, ca.crt and the revocation list. Raises ConfigError.
        """
        check_name(name)
        if not hosts:
            raise ConfigError(f"server {name}: name at least one host or address it is reached by")
        names = [_host(host) for host in hosts]
        issued = self._issue(name, "server", names, ExtendedKeyUsageOID.SERVER_AUTH, out, days)
        (out / REVOKED).write_bytes((self.folder / REVOKED).read_bytes())
        return issued

    def revoke(self, name: str) -> list[Issued]:
        """Put every certificate of that name on the list, here and beside this machine's servers.

        Raises:
            ConfigError: none was issued.
        """
        issued = self.issued()
        found = [row for row in issued if row.name == name]
        if not found:
            known = ", ".join(sorted({row.name for row in issued})) or "none"
            raise ConfigError(f"no certificate for {name!r}; issued: {known}")
        self._write_revoked(sorted(self.revoked() | {int(row.serial, 16) for row in found}))
        for row in issued:
            if row.kind == "server" and (beside := Path(row.folder)).is_dir():
                replace_file(beside / REVOKED, (self.folder / REVOKED).read_bytes())
        return found

    def _issue(
        self,
        name: str,
        kind: str,
        names: Sequence[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
        out: Path,
        days: float,
    ) -> Issued:
        out.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certified(name, names, purpose, key.public_key(), days)
        write_key(out / f"{kind}.key", key)
        replace_file(out / f"{kind}.crt", _pem(certificate))
        replace_file(out / CERTIFICATE, _pem(self._certificate))
        return self._recorded(name, kind, certificate, str(out.resolve()))

    def _certified(
        self,
        name: str,
        names: Sequence[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
        public: ec.EllipticCurvePublicKey,
        days: float,
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        return (
            _builder(_named(name), self._certificate.subject, public, now, timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(self._identifier(), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _recorded(self, name: str, kind: str, certificate: x509.Certificate, where: str) -> Issued:
        expires = certificate.not_valid_after_utc.isoformat()
        row = Issued(name, kind, f"{certificate.serial_number:x}", expires, where)
        with alone(self.folder):  # a desk may be certifying meanwhile
            self._write_issued([*self.issued(), row])
        return row

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        key = self._key.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)

    def _write_issued(self, rows: list[Issued]) -> None:
        replace_file(self.folder / ISSUED, json.dumps([asdict(r) for r in rows], indent=1).encode())

    def _write_revoked(self, serials: list[int]) -> None:
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - SLACK)
            .next_update(now + timedelta(days=AUTHORITY_DAYS))
            .add_extension(self._identifier(), critical=False)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(entry.build())
        signed = builder.sign(self._key, hashes.SHA256())
        replace_file(self.folder / REVOKED, signed.public_bytes(serialization.Encoding.PEM))


def read_revoked(path: Path, authority: x509.Certificate) -> frozenset[int]:
    """Serial numbers on a revocation list that `authority` signed. Raises ConfigError."""
    revoked = _read_list(path)
    key = authority.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not revoked.is_signature_valid(key):
        raise ConfigError(f"{path}: not signed by this fleet's authority")
    return frozenset(entry.serial_number for entry in revoked)


def _read_list(path: Path) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no revocation list: {error}") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + lifetime)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates,
        crl_sign=signs_certificates, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(f"name {name!r}: expected up to 63 letters, digits, dots, dashes")


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        check_name(host)
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
