"""Messages between parties: who can open one, as what, and whose key is whose."""

import stat
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError, IdentityError, SealError
from narrows.security.authority import Authority
from narrows.security.sealed import (
    OVERHEAD_BYTES,
    Announcement,
    PartyKey,
    SealedChannel,
    announce,
    verify,
)

CONTEXT = b"session 1"


def channels(*names: str, context: bytes = CONTEXT) -> list[SealedChannel]:
    keys = {name: PartyKey.generate() for name in names}
    return [
        SealedChannel(
            keys[name], name, context, {n: k.public for n, k in keys.items() if n != name}
        )
        for name in names
    ]


A, B, C = channels("a", "b", "c")


@settings(deadline=None)
@given(message=st.binary(max_size=9000), kind=st.text(), version=st.integers())
def test_what_was_sealed_opens_at_its_receiver(message, kind, version):
    sealed = A.seal("b", kind, version, message)
    assert len(sealed) == len(message) + OVERHEAD_BYTES
    assert B.open("a", kind, version, sealed) == message


@settings(deadline=None)
@given(message=st.binary(max_size=40), data=st.data())
def test_any_altered_bit_is_refused(message, data):
    sealed = bytearray(A.seal("b", "share", 3, message))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError, match="share 3 from a to b"):
        B.open("a", "share", 3, bytes(sealed))


@pytest.mark.parametrize("length", [*range(OVERHEAD_BYTES + 4), 99])
def test_another_length_is_refused(length):
    sealed = A.seal("b", "share", 3, b"text") + bytes(67)
    assert len(sealed) == 99
    with pytest.raises(SealError, match=f"{length} bytes that do not open"):
        B.open("a", "share", 3, sealed[:length])


def test_as_another_kind_or_version_it_does_not_open():
    sealed = A.seal("b", "share", 3, b"text")
    for kind, version in [("share", 4), ("mask", 3), ("share3", 3), ("", 3)]:
        with pytest.raises(SealError, match=f"{kind} {version} from a to b"):
            B.open("a", kind, version, sealed)


def test_neither_another_receiver_nor_another_senders_name_opens_it():
    sealed = A.seal("b", "share", 3, b"text")
    with pytest.raises(SealError, match="from a to c"):
        C.open("a", "share", 3, sealed)
    with pytest.raises(SealError, match="from c to b"):
        B.open("c", "share", 3, sealed)


def test_a_message_sent_back_does_not_open_at_its_sender():
    with pytest.raises(SealError, match="from b to a"):
        A.open("b", "share", 3, A.seal("b", "share", 3, b"text"))


@pytest.mark.parametrize("altered", ["context", "sender", "receiver", "key"])
def test_the_pairs_key_holds_context_names_and_keys(altered):
    keys = PartyKey.generate(), PartyKey.generate()
    sender = SealedChannel(keys[0], "a", CONTEXT, {"b": keys[1].public})
    receiver = SealedChannel(
        PartyKey.generate() if altered == "key" else keys[1],
        "x" if altered == "receiver" else "b",
        b"session 2" if altered == "context" else CONTEXT,
        {"x" if altered == "sender" else "a": keys[0].public},
    )
    with pytest.raises(SealError, match="another receiver, kind, version or session"):
        receiver.open(
            "x" if altered == "sender" else "a", "share", 3, sender.seal("b", "share", 3, b"")
        )


def test_one_message_sealed_twice_looks_different():
    assert len({A.seal("b", "share", 3, b"text") for _ in range(100)}) == 100


def test_strangers_have_no_key():
    with pytest.raises(IdentityError, match="a has no key of party d; it has those of b, c"):
        A.seal("d", "share", 3, b"")
    with pytest.raises(IdentityError, match="no key of party d"):
        A.open("d", "share", 3, bytes(99))


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), b"short"])
def test_a_public_key_that_shares_no_secret_is_refused(public):
    with pytest.raises(IdentityError, match="party b: no usable public key"):
        SealedChannel(PartyKey.generate(), "a", CONTEXT, {"b": public})


def test_a_key_is_saved_for_its_owner_alone(tmp_path):
    path, key = tmp_path / "party.key", PartyKey.generate()
    for _ in range(2):  # a session that resumes writes it again
        key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["party.key"]
    assert PartyKey.load(path).public == key.public
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        PartyKey.load(path)


def test_what_is_no_key_is_refused(tmp_path):
    path = tmp_path / "party.key"
    with pytest.raises(ConfigError, match="no key of a session"):
        PartyKey.load(path)
    path.write_bytes(b"nonsense")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="no key of a session"):
        PartyKey.load(path)
    Authority.create(tmp_path / "ca")
    with pytest.raises(ConfigError, match="expected an X25519 key"):
        PartyKey.load(tmp_path / "ca" / "ca.key")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Folders of devices alice, bob and late, whose certificate has expired, and of a server."""
    root = tmp_path_factory.mktemp("fleet")
    authority = Authority.create(root / "ca")
    for name in ("alice", "bob"):
        authority.enroll(name, root / name)
    authority.enroll("late", root / "late", days=-0.01)
    authority.serve("server", ["localhost"], root / "server")
    strangers = Authority.create(root / "other-ca")
    strangers.enroll("alice", root / "false-alice")
    return root


def test_an_announced_key_is_its_partys(fleet):
    key = PartyKey.generate()
    announcement = announce(key, "alice", CONTEXT, fleet / "alice")
    assert verify(announcement, CONTEXT, fleet / "bob") == key.public


def test_nothing_signed_can_be_altered(fleet):
    announcement = announce(PartyKey.generate(), "alice", CONTEXT, fleet / "alice")
    of_bob = announce(PartyKey.generate(), "bob", CONTEXT, fleet / "bob")
    for forged, context in [
        (announcement, b"session 2"),
        (replace(announcement, public=PartyKey.generate().public), CONTEXT),
        (replace(announcement, signature=of_bob.signature), CONTEXT),
        (replace(announcement, signature=b""), CONTEXT),
    ]:
        with pytest.raises(
            IdentityError, match="party alice: the key was not signed by its device"
        ):
            verify(forged, context, fleet / "bob")
    with pytest.raises(IdentityError, match="party bob shows the certificate of alice"):
        verify(replace(announcement, name="bob"), CONTEXT, fleet / "bob")
    with pytest.raises(IdentityError, match="party alice shows the certificate of bob"):
        verify(replace(of_bob, name="alice"), CONTEXT, fleet / "bob")


def test_another_authoritys_certificate_is_refused(fleet):
    announcement = announce(PartyKey.generate(), "alice", CONTEXT, fleet / "false-alice")
    with pytest.raises(IdentityError, match="by another than this fleet's authority"):
        verify(announcement, CONTEXT, fleet / "bob")


def test_an_expired_certificate_is_refused(fleet):
    announcement = announce(PartyKey.generate(), "late", CONTEXT, fleet / "late")
    with pytest.raises(IdentityError, match="party late: its certificate holds from"):
        verify(announcement, CONTEXT, fleet / "bob")


def test_a_server_is_no_party(fleet):
    announcement = announce(PartyKey.generate(), "alice", CONTEXT, fleet / "alice")
    pem = (fleet / "server" / "server.crt").read_bytes()
    with pytest.raises(IdentityError, match="certificate of no device"):
        verify(replace(announcement, certificate_pem=pem), CONTEXT, fleet / "bob")


@pytest.mark.parametrize("pem", [b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_is_refused(fleet, pem):
    announcement = Announcement("alice", PartyKey.generate().public, pem, b"signature")
    with pytest.raises(IdentityError, match="party alice: no certificate"):
        verify(announcement, CONTEXT, fleet / "bob")


def test_a_device_announces_itself_alone(fleet, tmp_path):
    with pytest.raises(ConfigError, match="is of alice, but the party is called bob"):
        announce(PartyKey.generate(), "bob", CONTEXT, fleet / "alice")
    with pytest.raises(ConfigError, match="no credentials of a device"):
        announce(PartyKey.generate(), "bob", CONTEXT, tmp_path)


def test_unsigned_keys_are_taken_only_where_nobody_has_credentials(fleet):
    key = PartyKey.generate()
    unsigned = announce(key, "alice", CONTEXT, None)
    assert verify(unsigned, CONTEXT, None) == key.public
    with pytest.raises(IdentityError, match="party alice shows no certificate"):
        verify(unsigned, CONTEXT, fleet / "bob")
    signed = announce(key, "alice", CONTEXT, fleet / "alice")
    with pytest.raises(IdentityError, match="no authority here"):
        verify(signed, CONTEXT, None)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length):
    with pytest.raises(IdentityError, match=f"32 bytes, got {length}"):
        verify(Announcement("alice", bytes(length)), CONTEXT, None)


def test_without_the_authoritys_certificate_nobody_is_verified(fleet, tmp_path):
    announcement = announce(PartyKey.generate(), "alice", CONTEXT, fleet / "alice")
    with pytest.raises(ConfigError, match="no authority's certificate"):
        verify(announcement, CONTEXT, tmp_path)
