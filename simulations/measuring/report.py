"""A measurement as one page that needs no other file: its pictures are inside it."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.simulations.measuring.plots import draw_energy, draw_latency
from narrows.simulations.measuring.shown import COLUMNS, UNITS, cells
from narrows.simulations.scenarios.report import STYLE


def write_report(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `latency.png`, `energy.png` and `report.html`; opens nothing."""
    draw_latency(folder / "latency.png", result["rows"])
    draw_energy(folder / "energy.png", result["rows"], result["energy"]["source"])
    (folder / "report.html").write_text(_page(folder, result))


def _page(folder: Path, result: Mapping[str, Any]) -> str:
    energy = result["energy"]
    title = f"{result['bundle']}: {result['photographs']} photographs of {result['source']}"
    told = (
        f"{result['date']}, {result['machine']['cpu']}, {result['machine']['cores']} cores, "
        f"{result['clients']} device(s) at once, {result['rounds']} rounds, seed {result['seed']}."
    )
    radios, unused = _list(energy["radios"]), _list(energy["not_used"])
    return (
        f"<!doctype html><meta charset=utf-8><title>{_text(title)}</title><style>{STYLE}</style>"
        f"<h1>{_text(title)}</h1><p>{_text(told)}</p>{_table(result)}<p>{_text(UNITS)}</p>"
        f"<h2>Where the time goes</h2>{_picture(folder / 'latency.png', 'latency by stage')}"
        f"<h2>Where the energy goes</h2>{_picture(folder / 'energy.png', 'energy by stage')}"
        f"<p>{'A model, not measured' if energy['is_model'] else 'Measured'}: "
        f"{_text(energy['covers'])}. A device's part of it is its share of the processor's time; "
        "each stage's is by the clock; at rest the machine spends what is not shown here. Radios "
        f"are models, for the links are simulated:</p>{radios}"
        f"{f'<p>Sensors that were not to be had:</p>{unused}' if energy['not_used'] else ''}"
        "<p>Every frame: events.parquet. What was asked for: config.json.</p>"
    )


def _list(told: Mapping[str, str]) -> str:
    items = "".join(f"<li>{_text(name)}: {_text(why)}</li>" for name, why in told.items())
    return f"<ul>{items}</ul>"


def _table(result: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in COLUMNS)
    rows = (
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells(row)) + "</tr>"
        for row in result["rows"]
    )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _picture(path: Path, what: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<img alt='{what}' src='data:image/png;base64,{data}'>"


def _text(text: str) -> str:
    return html.escape(text)
