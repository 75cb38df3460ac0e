"""`narrows vertical demo`: a coordinator and parties as processes of this machine, one killed.

Each party gets a CSV of its own columns in its own order, with some records of its own; nothing
else of the data is common to them but the ids.
"""

import csv
import json
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.errors import SessionError
from narrows.server.vertical.plan import Plan
from narrows.server.vertical.top import Learner
from narrows.simulations.vertical.bench import options_of
from narrows.simulations.vertical.datasets import VerticalData, load_vertical
from narrows.simulations.vertical.parties import names_of
from narrows.simulations.vertical.session import coordinating
from narrows.simulations.vertical.system import begin, centralised

KEPT = 0.98  # of the records, at each party: so many are left that all have


def show_demo(name: str, folder: Path | None, plan: Plan, kill: int, as_json: bool) -> None:
    """Run it and print its table; `kill` parties after an epoch. Raises NarrowsError."""
    data = load_vertical(name, plan.parties, folder)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json) as bar:
        bar.add_task(f"{plan.parties} parties and a coordinator, as processes", total=None)
        result = _run(data, plan, kill)
    terms = plan.terms("0" * 32, names_of(plan.parties), _columns(data), data.records)
    learner = Learner(plan.width, len(data.classes), plan.hidden, plan.rate, plan.seed)
    result["centralised_accuracy"] = centralised(terms, data, learner, begin(terms, data))[
        -1
    ].accuracy
    print(json.dumps(result)) if as_json else _print(data, result, kill)


def _run(data: VerticalData, plan: Plan, kill: int) -> dict[str, Any]:
    names = names_of(plan.parties)
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        coordinator = stack.enter_context(coordinating(data, folder, options_of(plan)))
        parties = []
        for n, name in enumerate(names):
            table = _write(data, n, folder / f"{name}.csv", plan.seed)
            command = [
                sys.executable, "-m", "narrows", "vertical", "join", str(table), "--id", "id",
                "--name", name, "--coordinator", coordinator.address,
                "--folder", str(folder / name), "--json",
            ]  # fmt: skip
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.kill)
            parties.append(process)
        if kill:
            coordinator.epoch()
            for process in parties[-kill:]:
                process.send_signal(signal.SIGKILL)
        result = coordinator.result()
        for process in parties[: plan.parties - kill]:
            if process.wait(30):
                raise SessionError("a party did not end well: see its message above")
        return result


def _write(data: VerticalData, party: int, path: Path, seed: int) -> Path:
    rng = np.random.default_rng([seed, party])
    order = rng.permutation(data.records)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        part = data.parts[party]
        writer.writerow(["id", *(f"column {i}" for i in range(part.shape[1]))])
        for record in order[: round(KEPT * data.records)]:
            writer.writerow([record, *part[record].tolist()])
    return path


def _columns(data: VerticalData) -> tuple[int, ...]:
    return tuple(part.shape[1] for part in data.parts)


def _print(data: VerticalData, result: dict[str, Any], kill: int) -> None:
    console = Console()
    table = Table(title=f"{data.name}: {result['records']} records that all have")
    for heading in ("party", "columns", "in time", "late", "what"):
        table.add_column(heading, justify="left" if heading in ("party", "what") else "right")
    for part, party in zip(data.parts, result["parties_by_name"], strict=True):
        what = ", ".join(w for w in ("away", "wrong", "excluded") if party[w])
        columns, answered, late = str(part.shape[1]), str(party["answered"]), str(party["late"])
        table.add_row(party["name"], columns, answered, late, what)
    console.print(table)
    console.print(
        f"Any {result['recovery_threshold']} of {result['parties']} answers gave a round's sums, "
        f"{result['round_ms']:.0f} ms a round (median); killed after the first epoch: {kill}. "
        f"Held-out accuracy {100 * result['accuracy']:.1f} %; of one network over all columns "
        f"{100 * result['centralised_accuracy']:.1f} %."
    )
