"""`narrows top`: a server's figures in the terminal, live."""

from typing import Annotated

import typer


def top(
    console: Annotated[
        str, typer.Argument(help="The server's console, as `narrows serve --console` announces it.")
    ] = "http://127.0.0.1:8500/",
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object, the console's figures, and end.")
    ] = False,
) -> None:
    """Watch a server: answers a second, stages, operating points, replicas, devices."""
    from narrows.cli._top_view import watch

    watch(console, once, json)
