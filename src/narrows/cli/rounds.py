"""`narrows rounds`: devices improve a bundle on photographs that stay with them."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.errors import ConfigError

rounds = typer.Typer(
    no_args_is_help=True,
    help="Federated rounds with Flower: devices improve a bundle on photographs that stay there.",
)
FLOWER = "rounds are Flower's: pip install 'narrows[federated]', on Python 3.11 or newer"
Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")]


@rounds.command()
def start(
    bundle: Annotated[Path, typer.Argument(help="The bundle to begin from.")],
    out: Annotated[Path, typer.Option(help="The new bundle; OUT.rounds has the journal.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Photographs to deal to simulated clients; else nodes have their own."),
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="Simulated clients.")] = 10,
    partition: Annotated[
        str, typer.Option(help="iid, dirichlet:ALPHA, or folders: a set of its own for each.")
    ] = "iid",
    recipe: Annotated[
        str, typer.Option(help="encoder, heads, all; or a TOML file: docs/federated.md.")
    ] = "encoder",
    number: Annotated[int, typer.Option("--rounds", min=1, help="Rounds.")] = 10,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Of the clients, asked in each round.")
    ] = 1.0,
    least: Annotated[
        int, typer.Option(min=1, help="Clients to begin with, and in every round.")
    ] = 2,
    timeout_seconds: Annotated[float, typer.Option(help="For a round's answers.")] = 600.0,
    seed: Annotated[int, typer.Option(help="Of the partition and of what clients draw.")] = 0,
    key: Annotated[
        Path | None, typer.Option(help="Ed25519 key that signs the new bundle; made if absent.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the new bundle; the old one's by default.")] = "",
    processes: Annotated[int, typer.Option(min=1, help="That simulate the clients.")] = 2,
    superlink: Annotated[
        str | None, typer.Option(help="HOST:PORT of a SuperLink with SuperNodes; no simulation.")
    ] = None,
    root_certificates: Annotated[
        Path | None, typer.Option(help="PEM file to know the SuperLink by.")
    ] = None,
    console: Annotated[
        int | None, typer.Option(help="A live page at http://127.0.0.1:PORT/; 0: any.")
    ] = None,
    json: Json = False,
) -> None:
    """Run rounds, and write what they reach as a new bundle with its figures and provenance.

    Simulates CLIENTS on this machine, or, with --superlink, sends the run to nodes elsewhere,
    whose `--node-config` says where their photographs and their copy of the bundle are.
    """
    try:
        from narrows.cli._rounds_run import Asked, run_start
    except ImportError as error:
        raise ConfigError(f"{error}: {FLOWER}") from None
    config: dict[str, str | int | float] = {
        "bundle": str(bundle.resolve()),
        "recipe": str(Path(recipe).resolve()) if recipe.endswith(".toml") else recipe,
        "data": str(data.resolve()) if data else "",
        "partition": partition,
        "out": str(out.resolve()),
        "name": name,
        "key": str(key.resolve()) if key else "",
        "rounds": number,
        "least-clients": least,
        "clients-per-round": share,
        "timeout-seconds": timeout_seconds,
        "seed": seed,
    }
    asked = Asked(config, clients, processes, superlink, root_certificates, console, json)
    run_start(asked)


@rounds.command()
def status(
    out: Annotated[Path, typer.Argument(help="As given to `start`; also while it runs.")],
    json: Json = False,
) -> None:
    """What a run's rounds did: who answered, bytes, loss; before and after, point by point."""
    try:
        from narrows.cli._rounds_run import run_status
    except ImportError as error:
        raise ConfigError(f"{error}: {FLOWER}") from None
    run_status(out, json)
