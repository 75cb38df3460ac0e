"""`narrows bench`: what a device does about its link, and whether it keeps its word."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli.bench import Json, Plot, bench
from narrows.errors import ConfigError


@bench.command()
def policy(
    bundle: Annotated[Path, typer.Option(help="Whose points and own answer.")] = Path(
        "models/zoo/classify"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Photographs to race with; by default every frame is an average one."),
    ] = None,
    link: Annotated[
        list[str] | None,
        typer.Option(help="A profile (lte:7 with a seed), a trace or 2mbit,20ms; again: more."),
    ] = None,
    frames: Annotated[int, typer.Option(min=10, help="Of every race.")] = 6000,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames captured a second.")] = 10.0,
    deadline_ms: Annotated[float, typer.Option(min=1, help="From capture to answer.")] = 300.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Photographs at most.")] = None,
    seed: Annotated[int, typer.Option(help="Of the profiles' traces and the frames' order.")] = 0,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """The policy beside fixed choices, the usual rule and an oracle that knows the link.

    In virtual time, by the relay's own arithmetic: the same figures on every machine. Accuracy is
    of all frames captured: one without an answer by its deadline counts as wrong.
    """
    try:
        from narrows.simulations.links.policy_bench import Asked, run_policy_bench
        from narrows.simulations.links.race import Terms
    except ImportError as error:
        raise ConfigError(f"{error}: a tail is run: pip install 'narrows[server]'") from None
    terms = Terms(frames, fps, deadline_ms / 1e3)
    run_policy_bench(Asked(bundle, data, tuple(link or ()), terms, limit, seed), json, plot)


@bench.command()
def risk(
    data: Annotated[Path, typer.Option(help="Photographs kept out of training.")],
    bundle: Annotated[Path, typer.Option(help="A calibrated one.")] = Path("models/zoo/classify"),
    lose: Annotated[float, typer.Option(help="Share that may be lost.")] = 0.02,
    splits: Annotated[int, typer.Option(min=2, help="Random halves.")] = 100,
    limit: Annotated[int | None, typer.Option(min=20, help="Photographs at most.")] = None,
    json: Json = False,
) -> None:
    """Does risk control keep its word: calibrated on half of the photographs, counted on the rest.

    Conformal risk control (in expectation) and risk-controlling prediction sets (for all but 1 % of
    calibrations), each with the share of frames that stays on the device.
    """
    try:
        from narrows.simulations.early_exit.risk_bench import run_risk_bench
    except ImportError as error:
        raise ConfigError(f"{error}: a tail is run: pip install 'narrows[server]'") from None
    run_risk_bench(bundle, data, lose, splits, limit, json)
