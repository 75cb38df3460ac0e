"""`narrows device`: this board as a device that stays one."""

from pathlib import Path
from typing import Annotated

import typer

device = typer.Typer(
    no_args_is_help=True,
    help="This board as a device: a service that starts with it, and whether all is well.",
)
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


@device.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def install(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="As of `narrows edge`; its options may follow.")],
    server: Annotated[str, typer.Option(help="host:port, or several with commas.")],
    tls: Annotated[
        Path | None, typer.Option(help="This device's folder from `narrows pki enroll`.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the service.")] = "narrows-edge",
    user: Annotated[
        str | None, typer.Option(help="Who runs it; by default whose --tls is, else you.")
    ] = None,
    memory_mb: Annotated[int, typer.Option(min=64, help="More, and it is restarted.")] = 256,
    show: Annotated[
        bool, typer.Option("--print", help="Print the unit; write and start nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a systemd service of `narrows edge SOURCE --server SERVER ...` and start it.

    It is restarted whatever ends it, held to its memory, and may write nowhere but to its own state
    and cache. `journalctl -u narrows-edge -f` follows its answers.
    """
    from narrows.cli._device_run import Asked, run_install

    asked = Asked(source, server, tls, name, user, memory_mb, tuple(context.args))
    run_install(asked, show, json)


@device.command()
def enroll(
    name: Annotated[str, typer.Argument(help="This device's name, as `narrows pki admit` had it.")],
    desk: Annotated[str, typer.Option(help="host:port of `narrows pki desk`.")],
    out: Annotated[Path | None, typer.Option(help="Where key and certificates go; ./NAME.")] = None,
    code: Annotated[
        str | None, typer.Option(help="The one-time code; it is asked for by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Get this device's certificate for a one-time code. The key is made here and stays here."""
    from narrows.cli._device_run import run_enroll

    run_enroll(name, desk, out or Path(name), code or typer.prompt("code", err=True), json)


@device.command()
def doctor(
    server: Annotated[str | None, typer.Option(help="host:port, or several with commas.")] = None,
    tls: Annotated[
        Path | None, typer.Option(help="This device's folder from `narrows pki enroll`.")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle's folder.")] = None,
    json: Json = False,
) -> None:
    """Processor, clock, camera, sensors, heat, certificate, bundle, link: ok, or what to do."""
    from narrows.cli._device_run import run_doctor

    raise typer.Exit(1 if run_doctor(server, tls, bundle, json) else 0)


@device.command()
def bench(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    photographs: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    frames: Annotated[int, typer.Option(min=10, help="At each operating point.")] = 100,
    energy: Annotated[
        str, typer.Option(help="auto, rapl, ina3221, pmic, nvml, um25c:DEVICE, model[:BOARD].")
    ] = "auto",
    json: Json = False,
) -> None:
    """This board's time, bytes and energy a frame, by stage; nothing is sent. --json goes home."""
    from narrows.cli._device_run import run_bench

    run_bench(bundle, photographs, frames, energy, json)


@device.command()
def status(
    name: Annotated[str, typer.Option(help="Of the service.")] = "narrows-edge",
    store: Annotated[Path | None, typer.Option(help="Of versions, as `update` has it.")] = None,
    json: Json = False,
) -> None:
    """Whether the service runs, its memory, its restarts, its last answer, its version."""
    from narrows.cli._device_run import run_status

    raise typer.Exit(run_status(name, store, json))


@device.command()
def update(
    store: Annotated[Path, typer.Argument(help="Of versions; devices run with STORE/current.")],
    server: Annotated[str, typer.Option(help="host:port")],
    trust: Annotated[
        Path, typer.Option(help="Ed25519 key (PEM) that must have signed the version.")
    ],
    bundle: Annotated[str, typer.Option(help="Its name; the server's only one.")] = "",
    tls: Annotated[
        Path | None, typer.Option(help="This device's folder from `narrows pki enroll`.")
    ] = None,
    photographs: Annotated[
        Path | None, typer.Option(help="Pictures that it must code before it is switched to.")
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(help="Restart this service, and go back unless it answers in time."),
    ] = None,
    wait_seconds: Annotated[float, typer.Option(help="For its first answer.")] = 60.0,
    json: Json = False,
) -> None:
    """Take the server's version of a bundle: checked, tried, switched to at once; or stay.

    `narrows device install ... --bundle STORE/current` runs with it. Exit code 1 where it went back
    to the version before.
    """
    from narrows.cli._device_run import Wanted, run_update

    wanted = Wanted(store, server, bundle, tls, trust, photographs, service, wait_seconds)
    raise typer.Exit(run_update(wanted, json))
