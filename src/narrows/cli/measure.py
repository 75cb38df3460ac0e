"""`narrows measure`: latency, bytes, energy and accuracy of each way, by stage."""

from pathlib import Path
from typing import Annotated

import typer


def measure(
    source: Annotated[
        Path, typer.Argument(help="Photographs: a tar of class folders, or a folder.")
    ],
    bundle: Annotated[Path, typer.Option(help="Its folder.")] = Path("models/zoo/classify"),
    choices: Annotated[
        str,
        typer.Option(
            help="Operating points, pictures to send (jpeg:75, webp:50), `local`: the whole "
            "network on the device."
        ),
    ] = "0,jpeg:75,local",
    links: Annotated[
        str,
        typer.Option(
            help="`none`, profiles (lte, lora:7 with a seed), traces; with a rate and a delay in "
            "them, between semicolons: none;2mbit,20ms."
        ),
    ] = "none,lte",
    frames: Annotated[int, typer.Option(min=1, help="Photographs of each choice and link.")] = 40,
    clients: Annotated[int, typer.Option(min=1, help="Devices at once, which share them.")] = 1,
    rounds: Annotated[
        int, typer.Option(min=1, help="Turns that all take; each with its part of them.")
    ] = 2,
    fps: Annotated[
        float | None, typer.Option(help="Of each device; as fast as answers come by default.")
    ] = None,
    window: Annotated[int, typer.Option(min=1, help="A device's frames in flight.")] = 1,
    deadline_ms: Annotated[int, typer.Option(min=1, help="A frame's time.")] = 20_000,
    head: Annotated[str, typer.Option(help="As of `narrows edge`.")] = "auto",
    labels: Annotated[
        bool, typer.Option("--labels", help="A folder is class folders: count right answers.")
    ] = False,
    part: Annotated[
        str | None, typer.Option(help="Part of a labelled set; val or test by default.")
    ] = None,
    energy: Annotated[
        str,
        typer.Option(
            help="auto, rapl, ina3221, pmic, um25c:/dev/rfcomm0, model or model:pi5 (or a .toml "
            "by `narrows bench energy`); with a comma also nvml, for the server."
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of the links' traces and of the turns' order.")] = 0,
    runs: Annotated[Path, typer.Option(help="Where every run leaves a folder.")] = Path(
        "runs/measure"
    ),
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the table.")
    ] = False,
) -> None:
    """Measure what each way of having SOURCE's photographs answered costs, over each link.

    Starts a server, and for every choice and link, in turns, devices of their own before a relay.
    Tells latency (p50, p90, p99) and energy by stage, bytes, accuracy, what the server spent.
    Leaves a folder with the configuration, versions, every frame (events.parquet), result.json,
    table.csv, pictures and report.html.
    """
    try:
        from narrows.simulations.measuring.cell import Manner
        from narrows.simulations.measuring.run import Asked, run_measurement
    except ImportError as error:
        from narrows.errors import ConfigError

        raise ConfigError(f"{error}: measuring needs pip install 'narrows[server]'") from None
    manner = Manner(clients, fps, window, deadline_ms, head)
    asked = Asked(
        source, bundle, choices, links, frames, rounds, manner, labels, part, energy, seed, runs
    )
    run_measurement(asked, json)
