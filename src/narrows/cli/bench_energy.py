"""`narrows bench energy`: the CPU-time model fitted to this machine's sensor."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli.bench import Json, bench


@bench.command()
def energy(
    sensor: Annotated[
        str, typer.Option(help="rapl, ina3221, pmic, um25c:/dev/rfcomm0; auto: what is here.")
    ] = "auto",
    seconds: Annotated[float, typer.Option(min=1, help="Of each load.")] = 10.0,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the board for --energy model:FILE.", metavar="TOML"),
    ] = None,
    json: Json = False,
) -> None:
    """Fit the CPU-time model to a sensor: no core busy, one, two, ... all of them.

    On a machine with nothing else to do. Prints watts at rest and of a busy core, and how far the
    model is from the sensor.
    """
    from narrows.simulations.measuring.fitting import run_fit

    run_fit(sensor, seconds, out, json)
