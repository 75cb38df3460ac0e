"""The files of an authority and of those it certifies; a device reads its own by little code."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from narrows.errors import ConfigError

KEY, CERTIFICATE, ISSUED, REVOKED = "ca.key", "ca.crt", "issued.json", "revoked.pem"
DESK_NAME = "desk.narrows"  # in the certificate of an authority's desk, wherever it is


def read_key(path: Path) -> bytes:
    """The PEM of a private key.

    Raises:
        ConfigError: others may read it.
        OSError: it cannot be read at all.
    """
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path}: others may read this key: chmod 600 it, or make a new one")
    return path.read_bytes()


def read_credentials(folder: Path, kind: str) -> tuple[bytes, bytes, bytes]:
    """PEM of the authority's certificate, of the key and the certificate of a device or server.

    Raises:
        ConfigError: a file is missing, or others may read the key.
    """
    try:
        key = read_key(folder / f"{kind}.key")
        return (folder / CERTIFICATE).read_bytes(), key, (folder / f"{kind}.crt").read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{folder}: no credentials of a {kind}: {error}: `narrows pki` makes them"
        ) from None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time in that folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Whoever reads meanwhile, or after a power cut, sees the old file or the new one."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
