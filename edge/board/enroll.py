"""A device's first certificate, for the code that the authority's desk gave out."""

import ssl
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from narrows.edge.link import check_address
from narrows.errors import ConfigError, LinkError
from narrows.protos.narrows.v1 import enrollment_pb2, enrollment_pb2_grpc
from narrows.security.codes import pin_of, read_code
from narrows.security.files import CERTIFICATE, DESK_NAME, replace_file
from narrows.security.keys import write_key

PATIENCE_S = 15.0


def enroll(desk: str, name: str, code: str, out: Path) -> None:
    """Make a key here and have it certified; `out` gets device.key, device.crt and ca.crt.

    The key never leaves this machine, and the secret goes to nobody but who the code names.

    Raises:
        ConfigError: no code, a code that is used or expired, or `out` cannot be written.
        LinkError: no desk there, or another than the code was made for.
    """
    pin, secret = read_code(code)
    pem = _presented(check_address(desk))
    if pin_of(x509.load_pem_x509_certificate(pem)) != pin:
        raise LinkError(f"{desk} is not the desk that this code is from: nothing was sent")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    csr = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    reply = _asked(desk, pem, enrollment_pb2.EnrollRequest(name=name, secret=secret, csr=csr))
    certificate = x509.load_pem_x509_certificate(reply.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(reply.authority))
    if certificate.public_key() != key.public_key():
        raise LinkError(f"{desk} certified another key than was asked for")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_key(out / "device.key", key)
        replace_file(out / CERTIFICATE, reply.authority)
        replace_file(out / "device.crt", reply.certificate)
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}") from None


def _presented(desk: str) -> bytes:
    """The certificate (PEM) that whoever is there shows, as yet believed by nobody."""
    host, _, port = desk.rpartition(":")
    try:
        return ssl.get_server_certificate(
            (host.strip("[]"), int(port)), timeout=PATIENCE_S
        ).encode()
    except (OSError, ssl.SSLError) as error:
        raise LinkError(f"{desk}: no desk there: {error}: `narrows pki desk` opens one") from None


def _asked(
    desk: str, pem: bytes, request: enrollment_pb2.EnrollRequest
) -> enrollment_pb2.EnrollReply:
    options = [("grpc.ssl_target_name_override", DESK_NAME)]
    credentials = grpc.ssl_channel_credentials(root_certificates=pem)
    with grpc.secure_channel(desk, credentials, options) as channel:
        stub = enrollment_pb2_grpc.EnrollmentStub(channel)
        try:
            return stub.Enroll(request, timeout=PATIENCE_S, wait_for_ready=True)  # type: ignore[no-any-return]
        except grpc.RpcError as error:
            code, told = error.code(), error.details()  # type: ignore[attr-defined]
            if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT):
                raise ConfigError(f"{desk}: {told}") from None
            raise LinkError(f"{desk}: {code.name}: {told}") from None
