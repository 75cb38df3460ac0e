"""One session of a coordinator's process and the parties of a data set, over sockets."""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from narrows.errors import SessionError
from narrows.simulations.vertical.datasets import VerticalData
from narrows.simulations.vertical.parties import Request, start

GIVE_UP_SECONDS = 60


@dataclass(frozen=True)
class Coordinator:
    """A started one."""

    process: "subprocess.Popen[str]"
    address: str
    out: Path

    def epoch(self) -> dict[str, Any]:
        """Waits for the next epoch's end. Raises SessionError."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SessionError("the coordinator ended: see its message above")
        return json.loads(line)  # type: ignore[no-any-return]

    def result(self) -> dict[str, Any]:
        """Waits for its end. Raises SessionError."""
        assert self.process.stdout is not None
        lines = self.process.stdout.read().splitlines()
        if self.process.wait() or not lines:
            raise SessionError("the coordinator did not end well: see its message above")
        return json.loads(lines[-1])  # type: ignore[no-any-return]


@contextmanager
def coordinating(data: VerticalData, folder: Path, options: Sequence[str]) -> Iterator[Coordinator]:
    """`narrows vertical serve` with the labels of that set; ends it in any case."""
    labels = folder / "labels.csv"
    with open(labels, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        names = (data.classes[label] for label in data.labels)
        writer.writerows((str(i), name) for i, name in enumerate(names))
    out = folder / "session"
    command = [
        sys.executable, "-m", "narrows", "vertical", "serve", str(labels), "--id", "id",
        "--parties", str(len(data.parts)), "--port", "0", "--out", str(out), "--json",
        "--held-out", repr(data.held_out / data.records), *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SessionError("the coordinator did not start: see its message above")
            yield Coordinator(process, json.loads(line)["address"], out)
        finally:
            process.terminate()


def run_session(data: VerticalData, request: Request, options: Sequence[str]) -> dict[str, Any]:
    """All parties in one process beside the coordinator's: what the session reached."""
    with tempfile.TemporaryDirectory() as folder:
        with coordinating(data, Path(folder), options) as coordinator:
            asked = replace(request, address=coordinator.address, state=folder)
            with subprocess.Popen(start(asked)) as parties:
                try:
                    return coordinator.result()
                finally:
                    try:
                        parties.wait(GIVE_UP_SECONDS)
                    except subprocess.TimeoutExpired:
                        parties.kill()
