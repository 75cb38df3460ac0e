"""What `narrows device` puts together, and how it prints."""

import getpass
import json
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from narrows.cli._checks import show_checks
from narrows.codec.manifest import Manifest
from narrows.edge.board.checks import (
    Board,
    check_board,
    check_bundle,
    check_head,
    check_identity,
    check_link,
)
from narrows.edge.board.service import HEARTBEAT, Service, install, restart_service, start
from narrows.edge.board.service import status as service_status
from narrows.edge.board.update import Origin, update
from narrows.edge.board.versions import Versions
from narrows.edge.heartbeat import answers_within, seconds_since
from narrows.errors import ConfigError
from narrows.images.files import pictures_in


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


@dataclass(frozen=True)
class Wanted:
    """`update`'s options, as given."""

    store: Path
    server: str
    bundle: str
    tls: Path | None
    trust: Path
    photographs: Path | None
    service: str | None
    wait_s: float


def run_update(wanted: Wanted, as_json: bool) -> int:
    """Exit code: 0, or 1 where it went back. Raises LinkError, BundleError."""
    origin = Origin(wanted.server, wanted.bundle, wanted.tls, wanted.trust)
    pictures = pictures_in(wanted.photographs) if wanted.photographs else []
    restart, healthy = (lambda: None), (lambda: True)
    if wanted.service is not None:
        service, heartbeat = wanted.service, Path(HEARTBEAT.format(name=wanted.service))
        restart = partial(restart_service, service)
        healthy = partial(answers_within, heartbeat, wanted.wait_s)
    updated = update(Versions(wanted.store), origin, pictures, restart, healthy)
    text = f"{updated.did}: {updated.digest[:8]} is current" + (
        f"; {updated.why}" if updated.why else ""
    )
    print(json.dumps(asdict(updated)) if as_json else text)
    return int(updated.did == "went back")


def run_enroll(name: str, desk: str, out: Path, code: str, as_json: bool) -> None:
    """Raises ConfigError, LinkError."""
    from narrows.edge.board.enroll import enroll

    enroll(desk, name, code, out)
    told = {"name": name, "folder": str(out)}
    print(json.dumps(told) if as_json else f"{out}: narrows edge SOURCE --tls {out}")


def run_bench(bundle: Path, photographs: Path, frames: int, energy: str, as_json: bool) -> None:
    """Raises NarrowsError."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from narrows.edge.board.bench import SHARES, STAGES, bench_board

    points = len(Manifest.load(bundle).operating_points)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task("frames", total=points * frames)
        found = bench_board(
            bundle, pictures_in(photographs), frames, energy, step=lambda: bar.advance(task)
        )
    if as_json:
        print(json.dumps(found))
        return
    table = Table("point", "bytes", *(f"{stage}, ms" for stage in (*STAGES, "all")), "mJ")
    for point in found["points"]:
        shown = (" ".join(f"{ms[s]:.2f}" for s in SHARES) for ms in point["ms"].values())
        joules = f"{1e3 * point['joules_per_frame']:.1f}"
        table.add_row(str(point["id"]), f"{point['bytes']:.0f}", *shown, joules)
    console, told = Console(), found["energy"]
    console.print(table)
    model = ", a model" if told["is_model"] else ""
    heat = ", ".join(f"{name} {value}" for name, value in found["heat"].items()) or "not told"
    console.print(f"p50 p90 p99; {found['kernels']}; energy: {told['source']}{model}; heat: {heat}")


def run_status(name: str, store: Path | None, as_json: bool) -> int:
    """Exit code: 0 where it is active. Raises ConfigError."""
    told: dict[str, str | float | None] = dict(service_status(name))
    told["seconds_since_answer"] = seconds_since(Path(HEARTBEAT.format(name=name)))
    if store is not None:
        told["version"] = Versions(store).current
    if as_json:
        print(json.dumps(told))
    else:
        for key, value in told.items():
            print(f"{key:22} {'-' if value is None else value}")
    return int(told["ActiveState"] != "active")


def run_doctor(server: str | None, tls: Path | None, bundle: Path | None, as_json: bool) -> int:
    """Print every check; returns how many required ones failed."""
    checks = check_board(Board())
    if tls is not None:
        checks.append(check_identity(tls))
    if bundle is not None:
        checks += [check_bundle(bundle), check_head(bundle)]
    if server is not None:
        checks += check_link(server, tls)
    return show_checks(checks, as_json)
