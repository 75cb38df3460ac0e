"""`narrows pki`: a fleet's own certificates."""

from pathlib import Path
from typing import Annotated

import typer

pki = typer.Typer(
    no_args_is_help=True,
    help="Certificates for a fleet: one authority, servers, devices, revocation.",
)
Folder = Annotated[Path, typer.Argument(help="The authority's folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@pki.command()
def init(
    folder: Folder, name: Annotated[str, typer.Option(help="The fleet's.")] = "narrows"
) -> None:
    """Make an authority. Whoever has its ca.key can enroll devices: keep it off the servers."""
    from narrows.security.authority import Authority

    Authority.create(folder, name)
    print(f"{folder}: keep ca.key safe; nothing but `narrows pki` needs it")


@pki.command()
def server(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="What to call it, as in `revoke`.")],
    host: Annotated[list[str], typer.Option(help="DNS name or address it is reached by; again.")],
    out: Annotated[Path | None, typer.Option(help="Where its files go; FOLDER/NAME.")] = None,
    days: Annotated[float, typer.Option(min=0.01, help="How long it is valid.")] = 90.0,
    json: Json = False,
) -> None:
    """Certify a server: `narrows serve BUNDLE --tls OUT`."""
    from narrows.cli._pki_text import told
    from narrows.security.authority import Authority

    print(told(Authority(folder).serve(name, host, out or folder / name, days), json))


@pki.command()
def enroll(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The device's name.")],
    out: Annotated[Path | None, typer.Option(help="Where its files go; FOLDER/NAME.")] = None,
    days: Annotated[float, typer.Option(min=0.0001, help="How long it is valid.")] = 7.0,
    json: Json = False,
) -> None:
    """Certify a device, for a short time: `narrows edge SOURCE --tls OUT`. Again to renew."""
    from narrows.cli._pki_text import told
    from narrows.security.authority import Authority

    print(told(Authority(folder).enroll(name, out or folder / name, days), json))


@pki.command()
def admit(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The device's name.")],
    minutes: Annotated[float, typer.Option(min=1, help="How long the code is good.")] = 60.0,
    json: Json = False,
) -> None:
    """Print a one-time code: `narrows device enroll NAME --desk HOST:50060` takes it."""
    from json import dumps

    from narrows.server.desk import admit as code_for

    code = code_for(folder, name, 60 * minutes)
    print(dumps({"name": name, "code": code, "minutes": minutes}) if json else code)


@pki.command()
def desk(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 50060,
    days: Annotated[float, typer.Option(min=0.01, help="Of devices' certificates.")] = 7.0,
    json: Json = False,
) -> None:
    """Certify devices that bring a code of `admit`, until SIGTERM.

    It needs ca.key: run it where the authority is, while devices are enrolled.
    """
    from narrows.cli._pki_desk import run_desk

    run_desk(folder, host, port, days, json)


@pki.command()
def revoke(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="A device's or server's name.")],
    json: Json = False,
) -> None:
    """Disown every certificate of that name.

    Servers of this machine notice at once; copy revoked.pem into the --tls folder of others.
    """
    from json import dumps

    from narrows.security.authority import Authority

    serials = [row.serial for row in Authority(folder).revoke(name)]
    print(dumps({"name": name, "serials": serials}) if json else f"{name}: {len(serials)} revoked")


@pki.command(name="list")
def list_(folder: Folder, json: Json = False) -> None:
    """Every certificate that was issued."""
    from narrows.cli._pki_text import listed
    from narrows.security.authority import Authority

    print(listed(Authority(folder), json))
