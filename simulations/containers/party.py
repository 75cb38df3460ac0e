"""A party of the vertical session: the next table that is free, and `narrows vertical join`."""

import os
import sys
from pathlib import Path

from narrows.simulations.containers.numbered import claim
from narrows.simulations.containers.program import run


def main(
    coordinator: str = "coordinator:50052",  # host:port
    tables: Path = Path("/tables"),  # a folder of each party's
) -> None:
    """Take part with that table."""
    place = claim(tables, "party-*")
    command = [sys.executable, "-m", "narrows", "vertical", "join", str(place / "columns.csv")]
    command += ["--id", "id", "--name", place.name, "--coordinator", coordinator]
    command += ["--tls", str(place), "--json"]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    run(main)
