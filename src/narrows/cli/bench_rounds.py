"""`narrows bench`: what learning together costs and gives."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from narrows.cli.bench import Json, Plot, bench
from narrows.errors import ConfigError


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


@bench.command()
def rounds(
    data: Annotated[Path, typer.Option(help="The folder with fashion_mnist.npz.")],
    rounds: Annotated[int, typer.Option(min=1, help="Of federated training.")] = 40,
    clients: Annotated[int, typer.Option(min=2, help="Who share the pictures.")] = 50,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Of the clients, that train in each round.")
    ] = 0.2,
    alpha: Annotated[
        float, typer.Option(min=0.01, help="Of Dirichlet's distribution; small: few labels each.")
    ] = 0.5,
    methods: Annotated[
        str, typer.Option(help="Separated by commas, fedavg first: docs/federated.md.")
    ] = "fedavg,ours,lgreco,compeft,fixed_rank4,fixed_rank8,fixed_rank16,fixed_5%",
    seeds: Annotated[int, typer.Option(min=1, help="Runs that figures are means of.")] = 2,
    last: Annotated[int, typer.Option(min=1, help="Rounds whose accuracy is averaged.")] = 8,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the runs.")] = 1,
    run: Annotated[
        Path | None, typer.Option(help="Keep finished runs here; the same one resumes.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute: 10 clients, 4 rounds; not the result.")
    ] = False,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Federated rounds: bytes up and down beside float32 averaging, L-GreCo, ComPEFT, fixed ones.

    A small network learns Fashion-MNIST from clients with different labels, in this process, by
    the same strategy, mod and messages that a deployment has. Bytes are those of Flower's records.
    """
    try:
        from narrows.simulations.rounds.run import Asked, run_rounds_bench
    except ImportError as error:
        raise ConfigError(
            f"{error}: rounds are Flower's: pip install 'narrows[federated]'"
        ) from None
    asked = Asked(data, rounds, clients, share, alpha, methods, seeds, last, jobs, run)
    if quick:
        asked = replace(asked, rounds=4, clients=10, seeds=1, last=2)
    run_rounds_bench(asked, json, plot)


@bench.command()
def prompt(
    data: Annotated[Path, typer.Option(help="Photographs with parts train and val.")],
    teacher: Annotated[
        str, typer.Option(help="The pretrained network that is tuned.")
    ] = "mobilenet_v2",
    teacher_weights: Annotated[
        Path | None, typer.Option(help="Its weights as safetensors; torchvision's own by default.")
    ] = None,
    clients: Annotated[int, typer.Option(min=2, help="Devices; all train in every round.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Of every way.")] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Of a device in a round, all ways alike.")] = 2,
    alpha: Annotated[
        float, typer.Option(help="Of the Dirichlet partition: small is few classes a device.")
    ] = 0.5,
    side: Annotated[int, typer.Option(min=32, help="Pixels across of the photographs.")] = 128,
    labels: Annotated[int | None, typer.Option(min=2, help="The first so many classes.")] = None,
    head_layers: Annotated[
        int, typer.Option(min=1, help="Of the network's front, on the device.")
    ] = 3,
    kept: Annotated[
        float, typer.Option(min=0.01, max=1, help="Pictures of a round that the body sees.")
    ] = 0.5,
    prompt_rate: Annotated[float, typer.Option(min=0, help="0: no prompt.")] = 0.05,
    full_rate: Annotated[float, typer.Option(help="Learning rate of all weights.")] = 0.003,
    seed: Annotated[int, typer.Option(help="Same seed, same run.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="10 classes, 64 pixels, 3 rounds: shows the path.")
    ] = False,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Split fine-tuning with prompts beside all weights by FedAvg, and beside a linear probe.

    Accuracy, devices' multiply-adds and the bytes of real messages, on one partition. Ten rounds of
    1,500 photographs take a quarter of an hour on a core, most of it for all weights.
    """
    try:
        from narrows.simulations.prompt.bench import Asked, run_prompt_bench
    except ImportError as error:
        raise ConfigError(
            f"{error}: rounds are Flower's: pip install 'narrows[server,federated]'"
        ) from None
    if quick:
        labels, side, rounds = min(labels or 10, 10), min(side, 64), min(rounds, 3)
    asked = Asked(
        data, teacher, teacher_weights, clients, rounds, epochs, alpha, side, labels, head_layers,
        kept, prompt_rate, full_rate, seed,
    )  # fmt: skip
    run_prompt_bench(asked, json, plot)
