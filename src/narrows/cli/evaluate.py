"""`narrows evaluate`: accuracy and bytes of a bundle beside JPEG and WebP."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, such as models/zoo/classify.")],
    data: Annotated[Path, typer.Option(help="A folder of class folders, or a tar of one.")],
    points: Annotated[str, typer.Option(help="`all`, or ids such as 0,2.")] = "all",
    part: Annotated[
        str | None, typer.Option(help="Part of the set; val or test by default.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most this many photographs, evenly chosen.")
    ] = None,
    wire: Annotated[
        bool, typer.Option("--wire", help="Send every frame over gRPC to a server.")
    ] = False,
    head: Annotated[
        str, typer.Option(help="auto, int8, cuda, fp32 or onnx: what computes the head.")
    ] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of a table.")
    ] = False,
) -> None:
    """Measure accuracy and bytes through the real coder, beside JPEG and WebP uploads.

    Runs on photographs the bundle has never seen: any sizes, class folders named as in training.
    """
    from narrows.simulations.evaluation_report import run_evaluation

    run_evaluation(bundle, data, points, part, limit, wire, head, json)  # type: ignore[arg-type]
