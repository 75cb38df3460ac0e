"""A vertical session as processes: `narrows vertical serve` and its parties.

`python vertical_processes.py REQUEST.json` is a party with what the command line does not offer:
weights to begin with, delays that a seed decides, and two ways not to follow the protocol.
"""

import asyncio
import contextlib
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from narrows.edge.link import LinkSettings
from narrows.edge.vertical.join import Straggling, take_part
from narrows.edge.vertical.party import Party, PartySettings
from narrows.edge.vertical.table import Table
from narrows.protos.narrows.v1 import vertical_pb2 as pb

JOIN = [sys.executable, "-m", "narrows", "vertical", "join"]
PATIENCE_S = 300.0  # with anything that comes at all; a busy machine takes its time


class Lost(AssertionError):
    """What was waited for did not come."""


def until(condition: Callable[[], object], what: str) -> None:
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > PATIENCE_S:
            raise Lost(what)
        time.sleep(0.05)


@dataclass
class Coordinator:
    """A running `narrows vertical serve`."""

    process: subprocess.Popen
    address: str
    console: str
    out: Path

    def figures(self) -> list[dict]:
        with urlopen(f"{self.console}figures.json", timeout=10) as response:
            return json.load(response)["federated"]

    def value(self, name: str, party: str | None = None) -> float:
        """A figure on the console; 0 before there is one."""
        found = (
            row["value"]
            for row in self.figures()
            if row["name"] == name and row["labels"].get("party") == party
        )
        return next(found, 0.0)

    def reach(self, step: int) -> None:
        """Wait for so many steps of the session."""
        self.until(lambda: self.value("step") >= step, f"step {step}")

    def go_on(self, steps: int = 3) -> None:
        """Wait for so many steps more."""
        self.reach(int(self.value("step")) + steps)

    def until(self, condition: Callable[[], object], what: str) -> None:
        def holds() -> object:
            assert self.process.poll() is None, f"{what}: the coordinator ended"
            with contextlib.suppress(OSError):  # its console is busy, or it is about to end
                return condition()
            return False

        until(holds, what)

    def result(self) -> dict:
        """Of a session that ended well."""
        lines = self.process.stdout.read().splitlines()
        assert self.process.wait(PATIENCE_S) == 0
        assert json.loads(lines[-1]) == json.loads((self.out / "result.json").read_text())
        return json.loads(lines[-1])


@contextmanager
def coordinating(records: Path, out: Path, *options, port: int = 0) -> Iterator[Coordinator]:
    command = [sys.executable, "-m", "narrows", "vertical", "serve", str(records), "--id", "id"]
    command += ["--out", str(out), "--port", str(port), "--console", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line, "the coordinator did not start"
            told = json.loads(line)
            yield Coordinator(process, told["address"], told["console"], out)
        finally:
            process.terminate()


@dataclass(frozen=True)
class Joined:
    name: str
    process: subprocess.Popen
    folder: Path

    def ended_well(self) -> bool:
        return self.process.wait(PATIENCE_S) == 0


@contextmanager
def joining() -> Iterator[Callable[..., Joined]]:
    """`join(table, name, address, *options)`; whoever is left is killed at the end."""
    started: list[subprocess.Popen] = []

    def begin(command, name, folder) -> Joined:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return Joined(name, process, folder)

    def join(table: Path, name: str, address: str, *options, folder=None, **request) -> Joined:
        folder = folder or table.parent / name
        if not request:
            command = [*JOIN, str(table), "--id", "id", "--name", name, "--json"]
            command += ["--coordinator", address, "--folder", str(folder), *options]
            return begin(command, name, folder)
        assert not options
        path = folder.with_suffix(".json")
        told = {"table": str(table), "name": name, "address": address, "folder": str(folder)}
        path.write_text(json.dumps(told | request))
        return begin([sys.executable, __file__, str(path)], name, folder)

    try:
        yield join
    finally:
        for process in started:
            process.kill()
            process.communicate()


def write_tables(
    folder: Path, parties: int, records: int, columns: int = 2, first: int = 0, order: bool = False
) -> tuple[Path, list[Path]]:
    """Labels that a plane through all columns decides, and everybody's columns; `order`: as told.

    Else each party has the records in an order of its own, and some that nobody else has.
    """
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng([records, first])
    x = rng.normal(size=(records, parties * columns))
    plane = np.cos(np.arange(parties * columns))
    ids = [f"person {i}" for i in range(first, first + records)]
    labels = folder / "labels.csv"
    with open(labels, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        writer.writerows(zip(ids, np.where(x @ plane > 0, "yes", "no"), strict=True))
    tables = []
    for n in range(parties):
        part = x[:, n * columns : (n + 1) * columns].tolist()
        rows = [(name, *row) for name, row in zip(ids, part, strict=True)]
        if not order:
            rows += [(f"only of {n}", *[0.5] * columns)]
            rows = [rows[i] for i in np.random.default_rng(n).permutation(len(rows))]
        tables.append(folder / f"party-{n:02d}.csv")
        with open(tables[-1], "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *(f"c{i}" for i in range(columns))])
            writer.writerows(rows)
    return labels, tables


class Liar(Party):
    """Sends random results, or shares of its weights that are none."""

    def __init__(self, settings: PartySettings, lie: str, after: int) -> None:
        super().__init__(settings)
        self._lie, self._after, self._rng = lie, after, np.random.default_rng(0)

    def answer(self, message: pb.CoordinatorMessage) -> pb.PartyMessage:
        answer = super().answer(message)
        if self._lie == "results" and answer.response.round > self._after:
            count = len(answer.response.values) // 8
            values = self._rng.integers(0, 1 << 60, count, np.uint64)
            answer.response.values = values.tobytes()
        if self._lie == "shares" and answer.shares.round > self._after:
            answer.shares.sealed[:] = [self._rng.bytes(len(s)) for s in answer.shares.sealed]
        return answer


def party_of(told: dict) -> Party:
    table = Table.load(Path(told["table"]), None, "id")
    tls = Path(told["tls"]) if "tls" in told else None
    settings = PartySettings(told["name"], table, Path(told["folder"]), tls)
    if "seed" in told:
        rng = np.random.default_rng([told["seed"], *told["name"].encode()])
        begin = rng.uniform(-0.3, 0.3, (1, table.coded.shape[1], told["width"]))
        settings = PartySettings(told["name"], table, Path(told["folder"]), tls, begin=begin)
    return Liar(settings, told.get("lie", ""), told.get("after", 0))


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    party = party_of(told)
    straggling = Straggling(told.get("delay_s", 0.0), told["name"])
    link = LinkSettings(give_up_s=60.0, tls=party.settings.tls)
    asyncio.run(take_part(party, told["address"], link, straggling))


if __name__ == "__main__":
    main()
