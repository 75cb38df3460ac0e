"""`narrows bench`: our parts and their peers, interleaved in one run, as ratios of medians."""

from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, help="Measure a part beside its peers, in one run.")


@bench.callback()
def _group() -> None:
    """Keeps `coder` a subcommand while it is the only benchmark."""


@bench.command()
def coder(
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of a table.")
    ] = False,
) -> None:
    """The entropy coder beside CompressAI and constriction, on the same symbols."""
    from narrows.simulations.coder_bench import run_coder_bench

    run_coder_bench(json)
