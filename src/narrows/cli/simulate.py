"""`narrows simulate`: many devices, in simulated time or for real."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.errors import ConfigError


def simulate(
    name: Annotated[
        str | None,
        typer.Argument(help="A shipped scenario or a .toml file; none: list what is shipped."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same frames.")] = 0,
    service: Annotated[
        Path | None,
        typer.Option(help="Service times (JSON) of another machine; this one's by default."),
    ] = None,
    place: Annotated[
        str,
        typer.Option(
            "--in",
            help="`time`, simulated; or for real: `processes` of this machine, or `containers` by "
            "docker-compose.yml of the checkout that this is run in.",
        ),
    ] = "time",
    runs: Annotated[Path, typer.Option(help="Where every run leaves a folder.")] = Path(
        "runs/simulate"
    ),
    data: Annotated[
        Path | None,
        typer.Option(
            help="Photographs to measure bytes and accuracy on, JPEG's too; by default they are "
            "what the bundle's manifest has."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Of --data, photographs at most.")] = 300,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the tables.")
    ] = False,
) -> None:
    """Simulate a scenario: devices of several classes, their links, a server, faults at times.

    Leaves a folder with the configuration, the seed, versions, every frame (events.parquet), the
    figures and report.html. Real runs are for a few dozens of devices; the first simulated one
    measures this machine for a minute and keeps that.
    """
    try:
        from narrows.simulations.scenarios.photographs import Photographs
        from narrows.simulations.scenarios.run import Asked, run_simulation
        from narrows.simulations.scenarios.scenario import load_scenario, shipped
    except ImportError as error:
        raise ConfigError(f"{error}: simulating needs pip install 'narrows[server]'") from None
    if name is None:
        for each in shipped():
            typer.echo(f"{each:12} {load_scenario(each).about}")
        return
    if place not in ("time", "processes", "containers"):
        raise ConfigError(f"--in {place}: expected time, processes or containers")
    photographs = None if data is None else Photographs(data, limit)
    asked = Asked(name, seed, service, runs, photographs, place)  # type: ignore[arg-type]  # checked
    run_simulation(asked, json)
