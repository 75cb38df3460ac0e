"""How these programs start, and end where something is wrong: one line and exit code 2."""

import sys
from collections.abc import Callable

import typer

from narrows.errors import NarrowsError


def run(main: Callable[..., None]) -> None:
    """`main`'s parameters are the command line's."""
    try:
        typer.run(main)
    except NarrowsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
