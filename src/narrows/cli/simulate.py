"""`narrows simulate`: many devices, as processes or in simulated time."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    name: Annotated[
        str | None,
        typer.Argument(help="A shipped scenario or a .toml file; none: list what is shipped."),
    ] = None,
    runner: Annotated[
        str | None,
        typer.Option(
            "--in",
            help="`time`: simulated, with service times measured on this machine. `processes`: "
            "devices and servers here, over shaped links. The scenario's own by default.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same frames in simulated time.")] = 0,
    service: Annotated[
        Path | None,
        typer.Option(help="Service times (JSON) of another machine; this one's by default."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Photographs for `processes`, as `narrows demo --data`.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where every run leaves a folder.")] = Path(
        "runs/simulate"
    ),
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the tables.")
    ] = False,
) -> None:
    """Run a scenario: devices of several classes, their links, a server, faults at times.

    Leaves a folder with the configuration, the seed, versions, every frame (events.parquet), the
    figures and report.html. The first run in simulated time measures this machine for half a
    minute and keeps that.
    """
    try:
        from narrows.simulations.scenarios.run import Asked, run_simulation
        from narrows.simulations.scenarios.scenario import load_scenario, shipped
    except ImportError as error:
        from narrows.errors import ConfigError

        raise ConfigError(f"{error}: simulating needs pip install 'narrows[server]'") from None
    if name is None:
        for each in shipped():
            typer.echo(f"{each:12} {load_scenario(each).about}")
        return
    run_simulation(Asked(name, runner, seed, service, data, runs), json)
