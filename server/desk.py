"""The authority's desk: devices without a certificate get their first one for a one-time code.

It runs where the authority's key is, and nowhere else; its own certificate is known to devices by
the code they were given, so that it needs no name and no other trust.
"""

import asyncio
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from narrows.errors import ConfigError, LinkError
from narrows.protos.narrows.v1 import enrollment_pb2, enrollment_pb2_grpc
from narrows.security.authority import Authority, check_name
from narrows.security.codes import Codes, pin_of, written
from narrows.security.files import DESK_NAME, read_key
from narrows.security.keys import write_key

log = logging.getLogger(__name__)
KEY, CERTIFICATE = "desk.key", "desk.crt"
MAX_CSR_BYTES = 4096
DESK_DAYS = 3650


def admit(folder: Path, name: str, seconds: float) -> str:
    """A code for that device, for so long. Raises ConfigError: no authority, or no name."""
    check_name(name)
    Authority(folder)
    return written(pin_of(_certificate(folder)), Codes(folder).give(name, seconds))


class Desk(enrollment_pb2_grpc.EnrollmentServicer):
    """Answers those who have a code."""

    def __init__(self, folder: Path, days: float):
        self._authority, self._codes, self._days = Authority(folder), Codes(folder), days

    async def Enroll(
        self, request: enrollment_pb2.EnrollRequest, context: grpc.aio.ServicerContext
    ) -> enrollment_pb2.EnrollReply:
        """One certificate for one code."""
        public = _asked_for(request.csr)
        if public is None:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "expected a P-256 PKCS #10 request"
            )
        assert public is not None  # abort raises
        used = await asyncio.to_thread(self._codes.use, request.name, request.secret)
        if not used:
            log.warning("no certificate for %r: no such code", request.name[:64])
            told = "no such code: it is used, expired, or was guessed at: ask for another"
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, told)
        certificate = await asyncio.to_thread(
            self._authority.certify, request.name, public, self._days
        )
        log.info("%s has a certificate for %g days", request.name, self._days)
        return enrollment_pb2.EnrollReply(
            certificate=certificate, authority=self._authority.certificate
        )


async def open_desk(folder: Path, host: str, port: int, days: float) -> tuple[grpc.aio.Server, int]:
    """A desk that takes requests, and its port. Raises ConfigError, LinkError."""
    desk, certificate = Desk(folder, days), _certificate(folder)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    credentials = grpc.ssl_server_credentials([(read_key(folder / KEY), pem)])
    options = [("grpc.max_receive_message_length", 2 * MAX_CSR_BYTES)]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=64)
    enrollment_pb2_grpc.add_EnrollmentServicer_to_server(desk, server)
    try:
        bound = server.add_secure_port(f"{host}:{port}", credentials)
    except RuntimeError as error:
        raise LinkError(f"cannot listen on {host}:{port}: {error}") from None
    await server.start()
    return server, bound


def _asked_for(csr: bytes) -> ec.EllipticCurvePublicKey | None:
    """The public key, if the request is one and its sender has the key."""
    if len(csr) > MAX_CSR_BYTES:
        return None
    try:
        request = x509.load_der_x509_csr(csr)
        public = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError, ConfigError):
        return None
    if not valid or not isinstance(public, ec.EllipticCurvePublicKey):
        return None
    return public if isinstance(public.curve, ec.SECP256R1) else None


def _certificate(folder: Path) -> x509.Certificate:
    """The desk's own, made the first time."""
    path = folder / CERTIFICATE
    if not path.exists():
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DESK_NAME)])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=2))
            .not_valid_after(now + timedelta(days=DESK_DAYS))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(DESK_NAME)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_key(folder / KEY, key)
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return x509.load_pem_x509_certificate(path.read_bytes())
