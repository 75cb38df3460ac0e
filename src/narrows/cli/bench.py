"""`narrows bench`: our parts and their peers, interleaved in one run, as ratios of medians."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from narrows.errors import ConfigError

bench = typer.Typer(no_args_is_help=True, help="Measure a part beside its peers, in one run.")

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
        "models/zoo/imagenette"
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
