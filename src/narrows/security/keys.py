"""Private keys on disk, for their owner alone."""

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def write_key(
    path: Path,
    key: PrivateKeyTypes,
    layout: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
) -> None:
    """Never readable by others, not even for a moment, and never half a key at `path`."""
    pem = key.private_bytes(serialization.Encoding.PEM, layout, serialization.NoEncryption())
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    os.replace(scratch, path)
