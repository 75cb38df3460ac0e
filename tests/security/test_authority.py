"""Certificates: what is in them, who may read the keys, and what is revoked."""

import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from narrows.errors import ConfigError
from narrows.security.authority import Authority, read_revoked
from narrows.security.credentials import device_credentials
from narrows.security.identity import Identity, Revocations, identity_of
from narrows.security.plaintext import allow_plain_text


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority.create(tmp_path / "ca")


def certificate(path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_device_is_named_by_its_certificate(authority, tmp_path):
    issued = authority.enroll("camera-7", tmp_path / "device")
    held = certificate(tmp_path / "device" / "device.crt")
    assert isinstance(held.public_key().curve, ec.SECP256R1)
    assert (held.not_valid_after_utc - held.not_valid_before_utc).days == 7
    held.verify_directly_issued_by(certificate(tmp_path / "device" / "ca.crt"))
    uses = held.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    found = identity_of({"x509_pem_cert": [(tmp_path / "device" / "device.crt").read_bytes()]})
    assert found == Identity("camera-7", int(issued.serial, 16))


def test_a_server_is_no_device(authority, tmp_path):
    authority.serve("here", ["localhost", "127.0.0.1", "::1"], tmp_path / "server")
    pem = (tmp_path / "server" / "server.crt").read_bytes()
    assert identity_of({"x509_pem_cert": [pem]}) is None
    assert identity_of({}) is None


def test_keys_are_their_owners_alone(authority, tmp_path):
    authority.enroll("a", tmp_path / "a")
    authority.enroll("a", tmp_path / "a")  # renewed in place
    for key in (tmp_path / "ca" / "ca.key", tmp_path / "a" / "device.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    (tmp_path / "a" / "device.key").chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        device_credentials(tmp_path / "a")
    with pytest.raises(ConfigError, match="no credentials of a device"):
        device_credentials(tmp_path / "nowhere")


def test_a_list_reaches_servers_and_only_the_authoritys_counts(authority, tmp_path):
    authority.serve("here", ["localhost"], tmp_path / "server")
    issued = authority.enroll("a", tmp_path / "a")
    identity = Identity("a", int(issued.serial, 16))
    revocations = Revocations(tmp_path / "server")
    assert not revocations.has(identity)
    assert [row.serial for row in authority.revoke("a")] == [issued.serial]
    assert revocations.has(identity)

    other = Authority.create(tmp_path / "other")
    forged = (tmp_path / "other" / "revoked.pem").read_bytes()
    with pytest.raises(ConfigError, match="not signed"):
        read_revoked(tmp_path / "other" / "revoked.pem", certificate(tmp_path / "ca" / "ca.crt"))
    (tmp_path / "server" / "revoked.pem").write_bytes(forged)  # an empty list of another's
    assert revocations.has(identity)
    assert other.revoked() == frozenset()


def test_renewed_certificates_are_revoked_together(authority, tmp_path):
    serials = {authority.enroll("a", tmp_path / "a").serial for _ in range(3)}
    kept = authority.enroll("b", tmp_path / "b")
    authority.revoke("a")
    assert {f"{serial:x}" for serial in authority.revoked()} == serials
    assert int(kept.serial, 16) not in authority.revoked()


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a" * 64, "-a", "a\n"])
def test_what_is_no_name_is_refused(authority, tmp_path, name):
    with pytest.raises(ConfigError, match="expected up to 63"):
        authority.enroll(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_say_what_to_do(authority, tmp_path):
    with pytest.raises(ConfigError, match="would disown its fleet"):
        Authority.create(tmp_path / "ca")
    with pytest.raises(ConfigError, match="narrows pki init"):
        Authority(tmp_path / "none")
    with pytest.raises(ConfigError, match="issued: none"):
        authority.revoke("nobody")
    with pytest.raises(ConfigError, match="at least one host"):
        authority.serve("here", [], tmp_path / "server")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_plain_text_stays_on_this_machine(host):
    allow_plain_text(host, insecure=False, force=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org"])
def test_plain_text_beyond_it_must_be_asked_for_twice(host, caplog):
    with pytest.raises(ConfigError, match="--tls"):
        allow_plain_text(host, insecure=False, force=True)
    with pytest.raises(ConfigError, match="add --force"):
        allow_plain_text(host, insecure=True, force=False)
    allow_plain_text(host, insecure=True, force=True)
    assert "PLAIN TEXT" in caplog.text
