"""Ed25519 (RFC 8032) over the manifest's bytes: who made a bundle, on top of what is in it."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from narrows.codec.manifest import MANIFEST, SIGNATURE
from narrows.errors import ConfigError, SignatureError


def sign_bundle(bundle: Path, key: Path) -> Path:
    """Write `manifest.sig` (64 bytes) and the public key beside `key`; returns the latter's path.

    The private key is made, readable by its owner alone, where `key` does not exist.

    Raises:
        ConfigError: `key` exists and is not an unencrypted Ed25519 key in PEM.
    """
    private = _load_private(key) if key.exists() else _create_private(key)
    (bundle / SIGNATURE).write_bytes(private.sign((bundle / MANIFEST).read_bytes()))
    public = key.with_name(key.name + ".pub")
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(private.public_key().public_bytes(encoding, form))
    return public


def verify_signature(bundle: Path, public_key: Path) -> None:
    """Check `manifest.sig` against the manifest.

    Raises:
        SignatureError: there is none, or another key made it, or the manifest changed.
        ConfigError: `public_key` is not an Ed25519 key in PEM.
    """
    signature = bundle / SIGNATURE
    if not signature.is_file():
        raise SignatureError(f"{signature}: missing: the bundle is not signed")
    try:
        _load_public(public_key).verify(signature.read_bytes(), (bundle / MANIFEST).read_bytes())
    except InvalidSignature:
        raise SignatureError(f"{signature}: not made by {public_key} over this manifest") from None


def _create_private(path: Path) -> Ed25519PrivateKey:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return private


def _load_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: expected an unencrypted PEM private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: expected an Ed25519 key, got {type(key).__name__}")
    return key


def _load_public(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected a PEM public key: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: expected an Ed25519 key, got {type(key).__name__}")
    return key
