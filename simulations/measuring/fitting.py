"""`narrows bench energy`: loads, a bar, a board."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track

from narrows.edge.energy.boards import save_board
from narrows.edge.energy.discover import open_sensor
from narrows.edge.energy.fit import Interval, fit, intervals
from narrows.errors import SensorError


def run_fit(name: str, seconds: float, out: Path | None, as_json: bool) -> None:
    """Fit, write, print. Raises SensorError: there is no sensor, or it does not follow load."""
    with open_sensor(name) as found:
        about = found.sensor.about
        if about.is_model:
            told = "; ".join(f"{n}: {why}" for n, why in found.without.items())
            raise SensorError(f"no sensor to fit a model to: {told or 'a model is none'}")
        loads = range((os.cpu_count() or 1) + 1)
        console = Console(stderr=True)
        turns: Iterable[Interval] = intervals(found.sensor, seconds, loads)
        taken = list(track(turns, "loads", total=len(loads), console=console, transient=True))
    fitted = fit(taken, about.name)
    if out is not None:
        save_board(fitted.board, out)
    if as_json:
        figures = {
            "sensor": about.name,
            "error": fitted.error,
            "board": asdict(fitted.board),
            "intervals": [asdict(each) for each in taken],
        }
        print(json.dumps(figures))
        return
    board = fitted.board
    print(f"{about.covers}: {board.idle_w:.2f} W at rest, {board.core_w:.2f} W for a busy core")
    print(f"the model is off by {fitted.error:.1%}" + (f"; written to {out}" if out else ""))
