"""`narrows doctor`: is this machine ready, and for what."""

from typing import Annotated

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Say what works on this machine: each line is ok, or what to do."""
    from narrows.cli._checks import run_checks

    failed = run_checks(json)
    raise typer.Exit(1 if failed else 0)
