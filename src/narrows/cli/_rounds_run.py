"""Flags of `narrows rounds` to a run of Flower's, and its journal to text, a bar, and a page."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from narrows.errors import ConfigError, SessionError
from narrows.federated.journal import read_journal
from narrows.federated.launch import FlowerRun, Simulated, SuperLink, flower_run
from narrows.federated.recipe import load_rounds_recipe
from narrows.server.console import Console as Page
from narrows.server.samples import Replicas, Sample

POLL_S = 0.5
Event = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What `start` was told."""

    config: dict[str, str | int | float]
    clients: int
    processes: int
    superlink: str | None
    root_certificates: Path | None
    console: int | None
    json: bool


def run_start(asked: Asked) -> None:
    """One run, to its new bundle. Raises NarrowsError."""
    load_rounds_recipe(str(asked.config["recipe"]))  # what is wrong with it is told at once
    folder = _folder(Path(str(asked.config["out"])))
    if asked.superlink is None and not asked.config["data"]:
        raise ConfigError("simulated clients need --data; real ones --superlink")
    where: SuperLink | Simulated = Simulated(asked.clients, asked.processes)
    if asked.superlink is not None:
        where = SuperLink(asked.superlink, asked.root_certificates)
    with flower_run(folder, asked.config, where) as run:
        asyncio.run(_watched(run, asked))
        run.wait()
    events = read_journal(folder)
    if asked.superlink is None and not _last(events, "ended"):
        raise SessionError(f"the run ended without a bundle: see {folder}")
    _show(events, asked.json)


def run_status(out: Path, as_json: bool) -> None:
    """Raises ConfigError where there was no run."""
    events = read_journal(_folder(out))
    if not events:
        raise ConfigError(f"{_folder(out)}: no journal of rounds: give the path given to `start`")
    _show(events, as_json)


def samples(events: list[Event]) -> list[Sample]:
    """A journal as the console and Prometheus are shown it."""
    rounds = [event for event in events if event["event"] == "round"]
    began = _last(events, "began") or {}
    values = {
        "rounds": len(rounds),
        "rounds_asked_for": began.get("rounds", 0),
        "clients": began.get("clients", 0),
        "bytes_up_total": sum(r["bytes_up"] for r in rounds),
        "bytes_down_total": sum(r["bytes_down"] for r in rounds),
        "failed_total": sum(len(r["failed"]) for r in rounds),
    }
    if rounds:
        values |= {"answered": rounds[-1]["answered"], "round_seconds": rounds[-1]["seconds"]}
        values |= {key: value for key, value in rounds[-1]["metrics"].items() if key == "loss"}
    return [(f"narrows_federated_{name}", {}, float(value)) for name, value in values.items()]


async def _watched(run: FlowerRun, asked: Asked) -> None:
    """A bar, and a page if asked for, until Flower ends."""

    async def collect() -> Replicas:
        return {"rounds": samples(list(read_journal(run.folder)))}

    page = None if asked.console is None else Page(collect, ())
    stderr = Console(stderr=True)
    if page is not None:
        await page.start("127.0.0.1", asked.console or 0)
        told = f"http://127.0.0.1:{page.port}/"
        print(json.dumps({"console": told})) if asked.json else stderr.print(f"console: {told}")
    now = TextColumn("{task.fields[now]}")
    columns = (*Progress.get_default_columns(), TimeElapsedColumn(), now)
    with Progress(*columns, console=stderr, disable=asked.json) as bar:
        task = bar.add_task("clients gather", total=int(asked.config["rounds"]), now="")
        while run.running:
            _advance(bar, task, read_journal(run.folder))
            await asyncio.sleep(POLL_S)
        _advance(bar, task, read_journal(run.folder))
    if page is not None:
        with suppress(asyncio.CancelledError):
            await page.close()


def _advance(bar: Progress, task: Any, events: list[Event]) -> None:
    rounds = [event for event in events if event["event"] == "round"]
    if rounds:
        last = rounds[-1]
        loss = last["metrics"].get("loss")
        now = f"{last['answered']} of {last['asked']} answered"
        now += f", loss {loss:.3f}" if loss is not None else ""
        bar.update(task, completed=len(rounds), description="rounds", now=now)
    elif events:
        bar.update(task, description="measuring")


def _show(events: list[Event], as_json: bool) -> None:
    if as_json:
        for event in events:
            print(json.dumps(event))
        return
    console = Console()
    table = Table("round", "answered", "failed", "loss", "down", "up", "s", title="rounds")
    for row in (event for event in events if event["event"] == "round"):
        loss = row["metrics"].get("loss")
        table.add_row(
            str(row["number"]), f"{row['answered']} of {row['asked']}", str(len(row["failed"])),
            "-" if loss is None else f"{loss:.3f}", f"{row['bytes_down'] / 1e3:,.0f} kB",
            f"{row['bytes_up'] / 1e3:,.0f} kB", f"{row['seconds']:.1f}",
        )  # fmt: skip
    console.print(table)
    if (ended := _last(events, "ended")) is not None:
        console.print(_before_and_after(ended))


def _before_and_after(ended: Event) -> Table:
    before, after = ended["before"], ended["after"]
    title = f"{after['nodes']} devices' own photographs, kept apart: {after['photographs']}"
    table = Table("point", "bytes before", "after", "right before", "after", title=title)
    for point, (old, new) in enumerate(zip(before["points"], after["points"], strict=True)):
        table.add_row(
            str(point), f"{old['packet_bytes']:.0f}", f"{new['packet_bytes']:.0f}",
            _percent(old), _percent(new),
        )  # fmt: skip
    return table


def _percent(point: Event) -> str:
    """Of the labelled; where there are none, agreement with the unsplit network."""
    if point["accuracy"] is None:
        return f"agrees {100 * point['agreement']:.1f} %"
    return f"{100 * point['accuracy']:.1f} %"


def _last(events: list[Event], kind: str) -> Event | None:
    return next((event for event in reversed(events) if event["event"] == kind), None)


def _folder(out: Path) -> Path:
    return out.with_name(out.name + ".rounds")
