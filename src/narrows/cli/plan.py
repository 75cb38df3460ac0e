"""`narrows plan`: what a fleet needs, from one simulated replica's queueing curve."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.errors import ConfigError


def plan(
    devices: Annotated[float, typer.Option(min=1, help="Of the fleet; 1e6 is a million.")] = 1e6,
    fps: Annotated[float, typer.Option(min=1e-6, help="Frames a second of each.")] = 2.0,
    deadline: Annotated[
        str, typer.Option(help="From a frame's due moment to its answer: 200ms or 1s.")
    ] = "200ms",
    bundle: Annotated[Path, typer.Option(help="What is served.")] = Path("models/zoo/classify"),
    point: Annotated[int, typer.Option(min=0, help="Its operating point.")] = 0,
    link: Annotated[
        str | None,
        typer.Option(help="RATE,DELAY of a device's link, as 2mbit,20ms; none by default."),
    ] = None,
    cpu_share: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="A device's, of a core of this machine.")
    ] = 1.0,
    max_batch: Annotated[int, typer.Option(min=1, help="As of `narrows serve`.")] = 16,
    threads: Annotated[int, typer.Option(min=1, help="Of each replica.")] = 1,
    seed: Annotated[int, typer.Option(help="Same seed, same plan.")] = 0,
    service: Annotated[
        Path | None,
        typer.Option(help="Service times (JSON) of another machine; this one's by default."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine anew, a minute.")
    ] = False,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="Instead: real servers beside simulated ones at 10, 100 and 500 devices.",
        ),
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Of --validate; medians are told.")] = 5,
    seconds: Annotated[
        float, typer.Option(min=6, help="With --validate, of each real run.")
    ] = 20.0,
    load: Annotated[
        float, typer.Option(min=0.01, max=0.95, help="With --validate, of the capacity.")
    ] = 0.6,
    pace: Annotated[
        str | None,
        typer.Option(
            help="With --validate: a tail of BASE,FRAME ms a batch, as an accelerator of that "
            "speed would be, where processors are too busy to serve a real one evenly: 40,4."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a picture of the curve.", metavar="PNG")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the tables.")
    ] = False,
) -> None:
    """Plan a fleet: ingresses, replicas, GPUs and bandwidth for so many devices.

    One replica is simulated with service times measured on this machine (a minute, once) to
    find how many devices it serves within the deadline; a fleet is as many as that takes, with room
    for replicas that are dealt more than the mean.
    """
    try:
        from narrows.simulations.planning.pacing import Pacing
        from narrows.simulations.planning.plan import Asked, run_plan
        from narrows.simulations.planning.targets import Served
        from narrows.simulations.planning.validate import Trial
        from narrows.simulations.planning.validate_report import run_validation
    except ImportError as error:
        raise ConfigError(f"{error}: planning needs pip install 'narrows[server]'") from None
    if validate:
        pacing = None if pace is None else Pacing.parse(pace)
        served = Served(bundle, max_batch, threads, point, pacing)
        run_validation(Trial(served, load=load, rounds=rounds, seconds=seconds), json, plot)
        return
    asked = Asked(
        bundle, round(devices), fps, _milliseconds(deadline), point, link, cpu_share, max_batch,
        threads, seed, service, calibrate, plot,
    )  # fmt: skip
    run_plan(asked, json)


def _milliseconds(text: str) -> float:
    for unit, factor in (("ms", 1.0), ("s", 1e3)):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit() and float(number) > 0:
            return float(number) * factor
    raise ConfigError(f"--deadline {text}: expected a time above 0 such as 200ms or 1s")
