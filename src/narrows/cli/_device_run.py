"""What `narrows device` puts together, and how it prints."""

import getpass
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from narrows.cli._checks import show_checks
from narrows.edge.board.checks import Board, check_board, check_bundle, check_identity, check_link
from narrows.edge.board.service import Service, install, start
from narrows.errors import ConfigError


@dataclass(frozen=True)
class Asked:
    """The command's options, as given."""

    source: str
    server: str
    tls: Path | None
    name: str
    user: str | None
    memory_mb: int
    more: tuple[str, ...]  # of `narrows edge`


def run_install(asked: Asked, show: bool, as_json: bool) -> None:
    """Raises ConfigError."""
    service = _service(asked)
    if show:
        print(json.dumps({"unit": service.text()}) if as_json else service.text(), end="")
        return
    path = install(service)
    start(service)
    told = {"unit": str(path), "name": service.name, "user": service.user}
    text = f"{path}: runs as {service.user}; journalctl -u {service.name} -f"
    print(json.dumps(told) if as_json else text)


def _service(asked: Asked) -> Service:
    own, reads = [], [Path(sys.prefix)]
    source = Path(asked.source)
    if source.exists():
        own.append(str(source.resolve()))
        reads.append(source.resolve())
    else:
        own.append(asked.source)  # a camera, or a stream
    own += ["--server", asked.server]
    if asked.tls is not None:
        if not (asked.tls / "device.crt").is_file():
            raise ConfigError(f"{asked.tls}: no device.crt: `narrows pki enroll` makes one")
        own += ["--tls", str(asked.tls.resolve())]
        reads.append(asked.tls.resolve())
    user = asked.user or (asked.tls.owner() if asked.tls else getpass.getuser())
    homes = tuple(path for path in reads if path.parts[1:2] in (("home",), ("root",)))
    return Service(asked.name, user, (*own, *asked.more), asked.memory_mb, homes)


def run_doctor(server: str | None, tls: Path | None, bundle: Path | None, as_json: bool) -> int:
    """Print every check; returns how many required ones failed."""
    checks = check_board(Board())
    if tls is not None:
        checks.append(check_identity(tls))
    if bundle is not None:
        checks.append(check_bundle(bundle))
    if server is not None:
        checks += check_link(server, tls)
    return show_checks(checks, as_json)
