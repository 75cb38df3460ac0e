"""`narrows demo`: a server, two devices and real photographs on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    bundle: Annotated[
        Path | None,
        typer.Option(help="The bundle to show; models/zoo/classify, but with --task name one."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Label, boxes and masks of a multi-task bundle instead: classification, "
            "detection, segmentation, or all."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Class folders or a tar; else Imagenette by torchvision, else the libraries' own."
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="At most this many photographs.")] = 200,
    link: Annotated[
        str | None,
        typer.Option(
            help="RATE,DELAY of the devices' link, the delay one-way: 2mbit,20ms. `none`: loopback."
        ),
    ] = "2mbit,20ms",
    executor: Annotated[str, typer.Option(help="`ray` or `local`.")] = "ray",
    replicas: Annotated[int, typer.Option(min=1, help="Replicas of the server.")] = 2,
    separate: Annotated[
        list[Path] | None,
        typer.Option(help="With --task: bundles for one task each, as the alternative; again."),
    ] = None,
    report: Annotated[Path, typer.Option(help="Folder of the HTML report.")] = Path("demo-report"),
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the tables.")
    ] = False,
) -> None:
    """Send photographs from two devices through a server on Ray; compare with JPEG, WebP and alone.

    Writes REPORT/index.html with plots and the photographs with their labels drawn on.
    """
    shaped = None if link in (None, "none") else link
    if task is not None:
        from narrows.simulations.demo.run import Options
        from narrows.simulations.demo.scene import show_scene

        scene = bundle or Path("models/zoo/scene")
        asked = Options(scene, data, frames, shaped, replicas, executor, report)
        show_scene(asked, task, separate or [], json)
        return
    from narrows.simulations.demo.tables import show_demo

    classify = bundle or Path("models/zoo/classify")
    show_demo(classify, data, frames, shaped, executor, replicas, report, json)
