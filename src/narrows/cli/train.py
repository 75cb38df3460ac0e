"""`narrows train`: photographs and a recipe in, a measured bundle out."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[
        list[Path],
        typer.Argument(help="Class folders, or sets annotated for several tasks; folders or tars."),
    ],
    out: Annotated[Path, typer.Option(help="Where the bundle goes.")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe, or a .toml file.")] = "classify",
    name: Annotated[str | None, typer.Option(help="The bundle's name; OUT's by default.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="A pretrained teacher (mobilenet_v2, resnet50, ...); none by default."),
    ] = None,
    teacher_weights: Annotated[
        Path | None, typer.Option(help="Its weights as safetensors; torchvision's own by default.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Checkpoints; the same one resumes.")] = None,
    part: Annotated[
        str | None, typer.Option(help="Part to train on; `train` where there is one.")
    ] = None,
    begin: Annotated[
        Path | None,
        typer.Option(help="A bundle whose unsplit network a multi-task one begins from."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes on a Ray cluster; one is this process.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Same seed, same run.")] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="Print the measured bundle as JSON.")
    ] = False,
) -> None:
    """Train a split network in one command; run it again after a kill and it goes on.

    Accuracy and bytes in the bundle are measured on photographs kept out of training, through the
    real coder.
    """
    from narrows.simulations.training_session import run_training

    run_training(
        data, out, recipe, name, teacher, teacher_weights, run, part, workers, begin, seed, json
    )
