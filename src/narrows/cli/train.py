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
        typer.Option(help="A bundle whose networks a multi-task one begins from."),
    ] = None,
    unsplit: Annotated[
        Path | None,
        typer.Option(help="A multi-task bundle whose network is split; none is trained."),
    ] = None,
    task: Annotated[
        str, typer.Option(help="Tasks of annotated sets to train for, or all: detection,...")
    ] = "all",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of the split phases together; the recipe's own.")
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
    from narrows.training.budget import of_epochs
    from narrows.training.recipe import load_recipe
    from narrows.training.run import Request

    loaded = load_recipe(recipe)
    request = Request(
        data[0],
        of_epochs(loaded, epochs) if epochs else loaded,
        run or Path("runs") / loaded.name,
        teacher,
        teacher_weights,
        seed,
        part,
        unsplit,
        more=tuple(data[1:]),
        tasks=() if task == "all" else tuple(task.split(",")),
        begin=begin,
    )
    run_training(request, out, name, workers, json)
