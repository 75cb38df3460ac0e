"""Files and flags of `narrows vertical` to what the party and the coordinator take."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import ConfigError

if TYPE_CHECKING:  # a party's process does without the server
    from narrows.server.vertical.plan import Plan


@dataclass(frozen=True)
class Asked:
    """A coordinator's records."""

    records: Path
    label: str
    id_column: str | None
    model: Path | None  # predict with this
    out: Path
    names: tuple[str, ...]


def layers(text: str) -> tuple[int, ...]:
    """Raises ConfigError."""
    told = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) for part in told):
        raise ConfigError(f"--hidden {text!r}: expected units of each layer, such as 64,32")
    return tuple(map(int, told))


def run_serve(
    plan: "Plan",
    asked: Asked,
    host: str,
    port: int,
    tls: Path | None,
    console: int | None,
    ray_address: str | None,
    log: str,
    log_level: str,
    as_json: bool,
) -> None:
    """One session; prints what was reached. Raises NarrowsError."""
    from narrows.server.vertical.labels import Labels
    from narrows.server.vertical.serve import Served, serve_vertical
    from narrows.sharing.tables import read_columns

    if asked.names and len(asked.names) != plan.parties:
        raise ConfigError(f"--parties {plan.parties} and {len(asked.names)} names of parties")
    labels = None
    if asked.model is None:
        labels = Labels.load(asked.records, asked.label, asked.id_column)
    ids = labels.ids if labels else read_columns(asked.records, None, asked.id_column).ids
    served = Served(
        asked.out, ids, labels, asked.model, asked.names, host, port, tls, console, ray_address,
        log, log_level,
    )  # fmt: skip
    result = serve_vertical(plan, served, as_json)
    print(json.dumps(result) if as_json else _told(result, asked.out))


@dataclass(frozen=True)
class Joining:
    """A party's flags."""

    table: Path
    name: str
    coordinator: str
    columns: tuple[str, ...] | None
    id_column: str | None
    folder: Path
    model: Path | None
    least_privacy: int
    allow_plain: bool
    tls: Path | None
    insecure: bool
    delay_s: float
    give_up_s: float
    json: bool


def run_join(joining: Joining) -> None:
    """Until the session ends. Raises NarrowsError."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from narrows.edge.link import LinkSettings, check_address
    from narrows.edge.vertical.join import Straggling, take_part
    from narrows.edge.vertical.kept import Kept
    from narrows.edge.vertical.party import Party, PartySettings
    from narrows.edge.vertical.table import Table
    from narrows.protos.narrows.v1 import vertical_pb2 as pb
    from narrows.security.plaintext import allow_plain_text

    if joining.tls is None:
        host = check_address(joining.coordinator).rpartition(":")[0]
        allow_plain_text(host, joining.insecure, joining.insecure)
    begin = None
    if joining.model is None:
        table = Table.load(joining.table, joining.columns, joining.id_column)
    else:
        before = Kept(joining.model)
        table = Table.load_prepared(joining.table, before.preparation(), joining.id_column)
        begin = before.learnt()
    settings = PartySettings(
        joining.name, table, joining.folder, joining.tls, joining.least_privacy,
        joining.allow_plain, begin,
    )  # fmt: skip
    party = Party(settings)
    link = LinkSettings(give_up_s=joining.give_up_s, tls=joining.tls)
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=joining.json) as bar:
        task, rounds = bar.add_task(f"{joining.name}: waiting for the others", total=None), 0

        def on_answer(message: pb.CoordinatorMessage) -> None:
            nonlocal rounds
            rounds += message.HasField("share") or message.HasField("embed")
            doing = message.WhichOneof("content")
            bar.update(task, description=f"{joining.name}: {doing}, {rounds} rounds")

        straggling = Straggling(joining.delay_s)
        asyncio.run(take_part(party, joining.coordinator, link, straggling, on_answer))
    told = {"name": joining.name, "rounds": rounds, "folder": str(joining.folder)}
    text = f"{joining.name}: {rounds} rounds; this party's part is in {joining.folder}"
    print(json.dumps(told) if joining.json else text)
    sys.stdout.flush()


def _told(result: dict, out: Path) -> str:  # type: ignore[type-arg]
    accuracy = result["accuracy"]
    lines = [
        f"{result['rounds']} rounds, {result['round_ms'] or 0:.0f} ms each (median); any "
        f"{result['recovery_threshold']} of {result['parties']} parties gave the sums",
    ]
    if accuracy is not None:
        lines.append(f"held-out accuracy {100 * accuracy:.1f} %")
    for party in result["parties_by_name"]:
        what = ", ".join(w for w in ("away", "wrong", "excluded") if party[w])
        lines.append(
            f"  {party['name']}: in time {party['answered']}, late {party['late']}, without new "
            f"shares {party['missed']}" + (f": {what}" if what else "")
        )
    return "\n".join([*lines, f"{out}: top.safetensors, predictions.csv, result.json"])
