"""`narrows measure`: every choice over every link in turns; a folder written, figures told."""

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from narrows.codec.manifest import Manifest
from narrows.edge.energy.boards import radio_of
from narrows.errors import ConfigError
from narrows.simulations.bench.race import machine
from narrows.simulations.bench.serving import serving
from narrows.simulations.links.link import open_link
from narrows.simulations.measuring.cell import Manner, Run, Stand, run_cell
from narrows.simulations.measuring.choices import LOCAL, NO_LINK, Cell, cells_of, choices_of
from narrows.simulations.measuring.events import SCHEMA, columns_of
from narrows.simulations.measuring.figures import Sensing, figures_of
from narrows.simulations.measuring.photographs import Photographs, photographs_of
from narrows.simulations.measuring.sensing import Opened, at_rest, open_sensors
from narrows.simulations.measuring.shown import live_rows, printed
from narrows.simulations.measuring.stand import SERVING
from narrows.simulations.measuring.table import write_table
from narrows.simulations.measuring.window import looking_at
from narrows.simulations.run_folder import RunFolder


@dataclass(frozen=True)
class Asked:
    """What the command was given."""

    source: Path
    bundle: Path
    choices: str
    links: str
    frames: int
    rounds: int
    manner: Manner
    labels: bool
    part: str | None
    energy: str
    seed: int
    runs: Path


Show = Callable[[dict[str, Any]], None]


def run_measurement(asked: Asked, as_json: bool) -> dict[str, Any]:
    """Measure, write the folder, print. Raises NarrowsError."""
    manifest = Manifest.load(asked.bundle)
    cells = cells_of(choices_of(asked.choices, manifest), _links(asked.links))
    console = Console(stderr=as_json, highlight=False)
    with tempfile.TemporaryDirectory(prefix="narrows-measure-") as scratch:
        photographs = photographs_of(
            asked.source, asked.labels, asked.part, asked.frames, manifest, Path(scratch)
        )
        with open_sensors(asked.energy) as opened:
            folder = RunFolder.create(asked.runs, "measure")
            folder.write_config(_config(asked))
            with live_rows(console, len(cells) * asked.rounds, as_json) as show:
                runs, sensing = _measure(asked, cells, photographs, opened, Path(scratch), show)
    rows = [figures_of([run for run in runs if run.cell == cell], sensing) for cell in cells]
    result = _head(asked, manifest, photographs, opened) | {"rows": rows, "run": str(folder.path)}
    _write(folder, result, runs)
    print(json.dumps(result)) if as_json else printed(console, result)
    return result


def _measure(
    asked: Asked,
    cells: Sequence[Cell],
    photographs: Photographs,
    opened: Opened,
    scratch: Path,
    show: Show,
) -> tuple[list[Run], Sensing]:
    """Every round gives every cell the same part of the photographs, in another order."""
    rounds, runs = min(asked.rounds, len(photographs.paths)), list[Run]()
    with _stand(asked, cells, opened, scratch) as stand:
        sensing = Sensing(opened.sensors, at_rest(stand.look, opened.sensors))
        for number in range(rounds):
            part = Photographs(photographs.paths[number::rounds], photographs.truth)
            turns = random.Random(asked.seed + number).sample(cells, len(cells))
            for cell in turns:
                runs.append(run_cell(stand, cell, number, part, asked.seed + number))
                show(figures_of([run for run in runs if run.cell == cell], sensing))
    return runs, sensing


@contextmanager
def _stand(asked: Asked, cells: Sequence[Cell], opened: Opened, scratch: Path) -> Iterator[Stand]:
    whole = None
    if any(cell.choice.kind == LOCAL for cell in cells):
        from narrows.models.bundle import load_tail
        from narrows.models.onnx_unsplit import export_unsplit

        side = Manifest.load(asked.bundle).input.short_side
        whole = export_unsplit(load_tail(asked.bundle), side, scratch / "whole.onnx")
    with serving(asked.bundle, *SERVING) as ready:
        look = looking_at(opened.sensors, ready["replicas"])
        yield Stand(asked.bundle, ready["address"], whole, asked.manner, look)


def _links(text: str) -> tuple[str, ...]:
    """Read `none,lte` or `none;2mbit,20ms`; each is tried. Raises ConfigError."""
    told = (name.strip() for name in text.split(";" if ";" in text else ","))
    names = tuple(dict.fromkeys(name for name in told if name))
    if not names:
        raise ConfigError("--links: expected some, such as none,lte")
    for name in names:
        if name != NO_LINK:
            open_link(name)
    return names


def _config(asked: Asked) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(asked).items()}


def _head(
    asked: Asked, manifest: Manifest, photographs: Photographs, opened: Opened
) -> dict[str, Any]:
    about, gpus = opened.sensors[0].about, opened.sensors[1:]
    radios = [radio_of(link) for link in _links(asked.links)]
    return {
        "bundle": manifest.name,
        "source": asked.source.name,
        "photographs": len(photographs.paths),
        "clients": asked.manner.clients,
        "rounds": asked.rounds,
        "seed": asked.seed,
        "date": date.today().isoformat(),
        "machine": machine(),
        "energy": {
            "source": about.name,
            "is_model": about.is_model,
            "covers": about.covers,
            "gpus": [sensor.about.covers for sensor in gpus],
            "radios": {radio.name: radio.source for radio in radios},
            "not_used": opened.without,
        },
    }


def _write(folder: RunFolder, result: dict[str, Any], runs: Sequence[Run]) -> None:
    from narrows.simulations.measuring.report import write_report

    folder.write_events(columns_of([row for run in runs for row in run.rows]), SCHEMA)
    folder.write_result(result)
    write_table(folder.path / "table.csv", result["rows"])
    write_report(folder.path, result)
