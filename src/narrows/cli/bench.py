"""`narrows bench`: our parts and their peers, interleaved in one run, as ratios of medians."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from narrows.errors import ConfigError

bench = typer.Typer(no_args_is_help=True, help="Measure a part beside its peers, in one run.")

DEFAULT_METHODS = "ours,patch_n4,entropic_student,jpeg,webp,avif,device_only"
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


def _drawable(plot: Path | None) -> Path | None:
    """Refuse before the measuring what could not be drawn after it."""
    if plot is not None and find_spec("matplotlib") is None:
        raise ConfigError("--plot draws with matplotlib: pip install 'narrows[server]'")
    if plot is not None and not plot.parent.is_dir():
        raise ConfigError(f"--plot {plot}: {plot.parent} is no folder: make it first")
    return plot


Plot = Annotated[
    Path | None,
    typer.Option(help="Write a picture of the results.", metavar="PNG", callback=_drawable),
]


@bench.command()
def coder(
    json: Json = False,
    plot: Plot = None,
    threads: Annotated[int, typer.Option(min=2, help="Python threads to compare with one.")] = 2,
) -> None:
    """The entropy coder beside CompressAI, constriction, torchac and zstd, on the same symbols."""
    from narrows.simulations.bench.coder import run_coder_bench

    run_coder_bench(json, plot, threads)


@bench.command()
def head(
    json: Json = False,
    plot: Plot = None,
    threads: Annotated[int, typer.Option(min=0, help="Of every runtime; 0: all cores.")] = 1,
    bundle: Annotated[Path, typer.Option(help="Whose head and device path.")] = Path(
        "models/zoo/classify"
    ),
    compiled: Annotated[
        bool, typer.Option("--compiled", help="torch.compile too: a minute more.")
    ] = False,
) -> None:
    """The head beside ONNX Runtime, OpenVINO, LiteRT and torch; the device path and its process."""
    try:
        from narrows.simulations.bench.head import run_head_bench
    except ImportError as error:
        raise ConfigError(
            f"{error}: heads are written as ONNX for every runtime: pip install 'narrows[server]'"
        ) from None
    run_head_bench(bundle, json, plot, threads, compiled)


@bench.command()
def rd(
    data: Annotated[
        list[Path],
        typer.Option(help="Class folders or, with --task, an annotated set; again: more."),
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            help="Recipes, picture codecs (jpeg, webp, avif, CompressAI's), device_only; with "
            "--task codecs, bundles' folders, and device:FOLDER for a small network on the device.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A multi-task bundle: classification, detection, segmentation, or all."),
    ] = None,
    run: Annotated[
        Path, typer.Option(help="Crops, checkpoints and measurements; the same one resumes.")
    ] = Path("runs/rd"),
    unsplit: Annotated[
        Path | None,
        typer.Option(
            help="A bundle whose unsplit network every method splits, models/zoo/classify by "
            "default; with --task the multi-task bundle.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Split this pretrained network instead (mobilenet_v2, resnet50, ...)."),
    ] = None,
    teacher_weights: Annotated[
        Path | None, typer.Option(help="Its weights as safetensors; torchvision's own by default.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Minutes on a laptop; shows the path, not the result.")
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Train every method, `ours` too, for this long: equal budgets."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Photographs to measure on.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same run.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write every point as a line.")] = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Accuracy against bytes, arithmetic and device time: bottlenecks beside picture codecs.

    Trains every learned method that was not trained before (`ours` is the bundle itself unless a
    teacher is split or --epochs given), then measures all on photographs kept out, through real
    packets and files.
    Ratios are our bytes over theirs at 1 and 3 points below the unsplit network.
    """
    try:
        from narrows.simulations.rate_distortion.run import Benchmark, check_methods, run_rd_bench
    except ImportError as error:
        raise ConfigError(f"{error}: methods are trained: pip install 'narrows[train]'") from None
    if task is not None:
        from narrows.simulations.rate_distortion.scenes import SceneBenchmark, run_scene_bench

        chosen = tuple((methods or "ours,jpeg,webp,avif").split(","))
        if unsplit is None:
            raise ConfigError("--task needs --unsplit, the multi-task bundle to measure")
        run_scene_bench(SceneBenchmark(tuple(data), unsplit, task, chosen, limit), json, plot)
        return
    names = check_methods(methods or DEFAULT_METHODS)
    if len(data) > 1:
        raise ConfigError("several sets are measured with --task alone")
    classify = unsplit or Path("models/zoo/classify")
    asked = Benchmark(
        data[0], names, run, classify, teacher, teacher_weights, quick, epochs, limit, seed
    )
    run_rd_bench(asked, json, csv, plot)


@bench.command()
def video(
    data: Annotated[Path, typer.Option(help="A folder of class folders, or a tar of one.")],
    bundle: Annotated[Path, typer.Option(help="With tables for videos.")] = Path(
        "models/zoo/classify"
    ),
    limit: Annotated[int, typer.Option(min=1, help="Photographs to make sequences of.")] = 100,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Frames coded against the one before, beside intra coding and, with ffmpeg, H.264 and H.265.

    On cameras that stand and pan over held-out photographs: bytes a frame and accuracy.
    """
    try:
        from narrows.simulations.bench.video import run_video_bench
    except ImportError as error:
        raise ConfigError(f"{error}: the tail is run: pip install 'narrows[server]'") from None
    run_video_bench(bundle, data, limit, json, plot)


@bench.command()
def branch(
    recipe: Annotated[
        str, typer.Option(help="A recipe with tasks: its tail, untrained.")
    ] = "scene",
    bundles: Annotated[
        list[Path] | None, typer.Option(help="Trained bundles to compare instead; again: more.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Annotated sets to score them on; again: more.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Photographs to score on.")] = None,
    json: Json = False,
) -> None:
    """What it costs the server where task heads leave the shared body, and what it brings."""
    try:
        from narrows.simulations.bench.branch import run_branch_bench
    except ImportError as error:
        raise ConfigError(f"{error}: tails are built: pip install 'narrows[train]'") from None
    run_branch_bench(recipe, bundles or [], data or [], limit, json)
