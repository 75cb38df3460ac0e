"""What became of a run, a JSON line an event: `narrows rounds status` reads it while it grows.

{"event": "began", "time": ..., "clients": 4, "rounds": 10, ...}
{"event": "round", "number": 1, "asked": 4, "answered": 4, "failed": [...], "bytes_up": ..., ...}
{"event": "ended", "time": ..., "before": {...}, "after": {...}, "bundle": ...}
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from narrows.federated.compression.sizes import wire_bytes

JOURNAL = "rounds.jsonl"


class Journal:
    """Lines that are on disk when `write` returns."""

    def __init__(self, folder: Path) -> None:
        """Begin one in `folder`, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / JOURNAL
        self._path.write_text("")

    def write(self, event: str, **fields: Any) -> None:
        """Add an event."""
        line = json.dumps({"event": event, "time": round(time.time(), 3)} | fields)
        with open(self._path, "a") as file:
            file.write(line + "\n")


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Its events so far; none where none has begun. A line that is being written is left."""
    try:
        text = (folder / JOURNAL).read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Journalled(Strategy):
    """Another strategy, whose rounds are written down: who answered, bytes, the loss."""

    def __init__(self, strategy: Strategy, journal: Journal) -> None:
        """`strategy`: with all that is wrapped around it, so that what travels is counted."""
        self._strategy, self._journal = strategy, journal
        self._sent: list[Message] = []
        self._began_s = 0.0

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the other does."""
        self._began_s = time.monotonic()
        self._sent = list(self._strategy.configure_train(server_round, arrays, config, grid))
        self._down = sum(wire_bytes(message.content) for message in self._sent)
        return self._sent

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """As the other does."""
        came = sorted(
            replies, key=lambda reply: reply.metadata.src_node_id
        )  # so are sums' roundings
        up = sum(wire_bytes(reply.content) for reply in came if reply.has_content())
        failed = [
            {"node": str(reply.metadata.src_node_id), "why": reply.error.reason}
            for reply in came
            if reply.has_error()
        ]
        answered = {reply.metadata.src_node_id for reply in came}
        silent = [m.metadata.dst_node_id for m in self._sent]
        failed += [{"node": str(n), "why": "no answer"} for n in silent if n not in answered]
        arrays, metrics = self._strategy.aggregate_train(server_round, came)
        self._journal.write(
            "round",
            number=server_round,
            asked=len(self._sent),
            answered=sum(reply.has_content() for reply in came),
            failed=failed,
            bytes_down=self._down,
            bytes_up=up,
            seconds=round(time.monotonic() - self._began_s, 3),
            metrics=dict(metrics or {}),
        )
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """None: what rounds reached is measured once, at their end."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """None."""
        return None

    def summary(self) -> None:
        """The other's."""
        self._strategy.summary()
