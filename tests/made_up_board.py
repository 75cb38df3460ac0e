"""A board whose heat is made up: a tree of files as Linux has them, and a firmware's command.

`python made_up_board.py TREE edge ...` is `narrows edge ...` on it, with a clock that runs fast.
"""

import os
import sys
from functools import partial
from pathlib import Path

from narrows.edge.board.heat import HeatPlaces
from narrows.edge.board.watch import HeatWatch
from narrows.edge.policy.cooling import Cooling

NOWHERE = ("no-such-command-here",)


def put(path: Path, text: str) -> None:
    """Whole or not at all: another process reads it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(f"{text}\n")
    os.replace(scratch, path)


def put_zone(
    tree: Path, celsius: float, kind: str = "cpu-thermal", number: int = 0, **trips: float
) -> None:
    """A thermal zone; `trips`: its trip points by type."""
    zone = tree / f"thermal_zone{number}"
    put(zone / "type", kind)
    for index, (name, trip_c) in enumerate(trips.items()):
        put(zone / f"trip_point_{index}_type", name)
        put(zone / f"trip_point_{index}_temp", f"{round(trip_c * 1e3)}")
    put(zone / "temp", f"{round(celsius * 1e3)}")


def put_cooling(tree: Path, kind: str, state: int, number: int = 0) -> None:
    """A cooling device."""
    put(tree / f"cooling_device{number}" / "type", kind)
    put(tree / f"cooling_device{number}" / "cur_state", str(state))


def places(tree: Path, said: str | None = None) -> HeatPlaces:
    """`said`: what the firmware's command prints."""
    command = NOWHERE
    if said is not None:
        script = tree / "vcgencmd"
        put(script, f"#!/bin/sh\necho '{said}'")
        script.chmod(0o755)
        command = (str(script),)
    return HeatPlaces(tree, command, tree / "get_throttled")


if __name__ == "__main__":
    from narrows.cli import _edge_run, main

    watch = HeatWatch(places(Path(sys.argv.pop(1))), Cooling(0.0, 0.0), every_s=0.05)
    _edge_run.run_edge = partial(_edge_run.run_edge, heat=watch)
    main()
