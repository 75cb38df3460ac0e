"""`narrows bench offload`: device alone, picture uploaded, network split, or the policy."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli.bench import Json, Plot, bench
from narrows.errors import ConfigError


@bench.command()
def offload(
    data: Annotated[Path, typer.Option(help="Photographs kept out of training, labelled.")],
    bundle: Annotated[Path, typer.Option(help="Whose points; a calibrated one answers too.")] = (
        Path("models/zoo/classify")
    ),
    links: Annotated[
        str, typer.Option(help="Shipped scenarios, or .toml files of one class each.")
    ] = "wifi,lte,lora",
    clients: Annotated[
        str, typer.Option(help="Devices at once; several have a line each, and one for all.")
    ] = "1,30",
    limit: Annotated[int, typer.Option(min=1, help="Photographs at most, evenly chosen.")] = 500,
    seed: Annotated[int, typer.Option(help="Same seed, same frames.")] = 0,
    service: Annotated[
        Path | None,
        typer.Option(help="Service times (JSON) of another machine; this one's by default."),
    ] = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Latency, energy, accuracy and bytes of every way to have a frame answered, on thin links.

    Accuracy and bytes are measured on the photographs, service times on this machine; devices,
    links and time are simulated, and joules are the scenarios' watts. Split and JPEG are compared
    at equal accuracy: each point beside the smallest pictures that are at least as accurate.
    """
    try:
        from narrows.simulations.offload.bench import Asked, run_offload_bench
        from narrows.simulations.scenarios.photographs import Photographs
    except ImportError as error:
        raise ConfigError(f"{error}: a tail is run: pip install 'narrows[server]'") from None
    asked = Asked(
        bundle, Photographs(data, limit), tuple(filter(None, links.split(","))),
        _counts(clients), seed, service,
    )  # fmt: skip
    run_offload_bench(asked, json, plot)


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(each) for each in text.split(","))
    except ValueError:
        counts = ()
    if not counts or not all(1 <= count <= 10_000 for count in counts):
        raise ConfigError(f"--clients {text}: expected numbers of devices, as 1,30")
    return counts
