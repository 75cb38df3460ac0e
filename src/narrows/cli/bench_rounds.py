"""`narrows bench`: what learning together costs and gives."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli.bench import Json, bench


@bench.command()
def fleet(
    data: Annotated[Path, typer.Option(help="Class folders with parts train and val, or a tar.")],
    folder: Annotated[
        Path, typer.Option(help="For cameras, journal and new bundle; cameras there are taken.")
    ],
    bundle: Annotated[Path, typer.Option(help="To begin from.")] = Path("models/zoo/classify"),
    each: Annotated[int, typer.Option(min=1, help="Cameras of each of five conditions.")] = 4,
    seen: Annotated[int, typer.Option(min=8, help="Photographs a camera learns from.")] = 90,
    kept: Annotated[int, typer.Option(min=1, help="And measures with.")] = 60,
    alpha: Annotated[
        float, typer.Option(min=0.01, help="Of classes' Dirichlet distribution.")
    ] = 0.5,
    rounds: Annotated[int, typer.Option(min=1, help="Of learning.")] = 14,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Of the cameras, in each.")] = 0.55,
    recipe: Annotated[str, typer.Option(help="encoder, all; or a TOML file.")] = "encoder",
    seed: Annotated[int, typer.Option(help="Of cameras and learning.")] = 0,
    json: Json = False,
) -> None:
    """Rounds for cameras at night, in fog, out of focus: bytes and accuracy before and after.

    On the cameras' own photographs, on those of cameras that took no part, and on the set as it is.
    """
    from narrows.simulations.rounds.fleet import Asked, run_fleet_bench

    asked = Asked(bundle.resolve(), data.resolve(), folder.resolve(), each, seen, kept, alpha,
                  rounds, share, recipe, seed)  # fmt: skip
    run_fleet_bench(asked, json)
