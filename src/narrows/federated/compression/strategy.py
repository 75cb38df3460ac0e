"""The server's side in Flower: a strategy around another, which sees ordinary arrays.

    strategy = CompressedUpdates(FedAvg(fraction_train=0.2))
    strategy.start(grid, initial_arrays, num_rounds=50)
    strategy.reports[-1]                     # bytes up and down, who was left out

FedAvg, FedProx, FedAvgM, FedAdam, FedYogi and others work unchanged: they choose the clients and
make the next model of what training returned. Clients run `CompressionMod`.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from narrows.errors import ConfigError, NarrowsError, SessionError
from narrows.federated.compression.feedback import Compressor, Planned
from narrows.federated.compression.layers import record, typed
from narrows.federated.compression.messages import decode_update, header_of
from narrows.federated.compression.mod import RECORD
from narrows.federated.compression.model import Model
from narrows.federated.compression.publisher import Publisher
from narrows.federated.compression.sizes import wire_bytes
from narrows.federated.secure.strategy import SecureAggregation

log = logging.getLogger(__name__)

ARRAYS = "arrays"  # what training's arrays are called where the strategy aggregates them


@dataclass(frozen=True)
class RoundReport:
    """What a round sent. Bytes are those of whole records, metrics and configuration too."""

    number: int
    asked: int  # clients that were asked to train
    arrived: int = 0  # whose updates were aggregated
    bytes_up: int = 0
    bytes_down: int = 0
    dropped: tuple[str, ...] = ()  # node: why its reply was left out


class CompressedUpdates(Strategy):
    """Any strategy, on models and updates that are coded on the wire."""

    entropy_coded = True  # SecureAggregation refuses to wrap it

    def __init__(
        self,
        strategy: Strategy,
        *,
        error_up: float = 0.05,
        error_down: float = 0.1,
        start_error: float = 0.03,
        most_clients: int = 1024,
        compressor: Compressor | None = None,
    ) -> None:
        """
        Parameters
        ----------
        strategy : Strategy
            What chooses the clients and makes the next model.
        error_up, error_down : float
            The share of an update's, or of a model difference's, squared length that may wait for
            the next one: 0 to 1, the larger the fewer bytes.
        start_error : float
            How far the first model may be from the initial arrays, relative to each tensor's
            length. A model that begins at random needs no precision: 0.6.
        most_clients : int
            Clients whose models are kept here; who came longest ago is sent all of it again.
        compressor : Compressor or None
            Of what goes down; by default each layer's setting is planned.

        Raises:
            ConfigError: settings beyond those, or secure aggregation inside.
        """
        if not (0 <= error_up < 1 and 0 <= error_down < 1 and 0 < start_error < 1):
            raise ConfigError(
                "error_up and error_down must be from 0 to below 1 and start_error between, not "
                f"{error_up}, {error_down} and {start_error}"
            )
        if most_clients < 1:
            raise ConfigError(f"most_clients must be at least 1, not {most_clients}")
        inner: Strategy | None = strategy
        while inner is not None:
            if isinstance(inner, SecureAggregation):
                raise ConfigError(
                    "entropy-coded updates cannot be summed under masks: use SecureAggregation("
                    "kept=, levels=) by itself, which compresses what can be summed"
                )
            inner = getattr(inner, "strategy", None)
        self.strategy = strategy
        self.reports: list[RoundReport] = []
        self._error_up, self._error_down = float(error_up), error_down
        self._start_error, self._most = start_error, most_clients
        self._compressor = compressor or Planned()
        self._publisher: Publisher | None = None
        self._followed: ArrayRecord | None = None  # what clients are being led to
        self._initial: ArrayRecord | None = None  # what the run was given
        self._first = ArrayRecord()  # what clients begin with in its place
        self._before = ArrayRecord()  # what updates are added to

    def held_by(self, node: int) -> ArrayRecord:
        """The model that a node has acknowledged. Raises SessionError: there is none."""
        model = None if self._publisher is None else self._publisher.held(node)
        if model is None:
            raise SessionError(f"node {node} has acknowledged no model yet")
        return model.arrays()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The other strategy's messages, the model in them as each client needs it."""
        arrays = self._started(arrays)
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        self._report = RoundReport(server_round, len(messages))
        self._before = arrays
        self._compress(messages, arrays)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Decode the updates, and let the other strategy aggregate what they make of its model."""
        opened = [reply for reply in replies if self._open(reply)]
        arrived = sum(not reply.has_error() for reply in opened)
        self._report = replace(self._report, arrived=arrived)
        arrays, metrics = self.strategy.aggregate_train(server_round, opened)
        self.reports.append(self._report)
        if arrays is None or self._publisher is None:
            return None, metrics
        return typed(arrays, self._publisher.first.layout), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the other strategy does, the model in its messages as each client needs it."""
        arrays = self._started(arrays)
        messages = list(self.strategy.configure_evaluate(server_round, arrays, config, grid))
        self._compress(messages, arrays)
        return messages

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """As the other strategy does."""
        heard = list(replies)
        for reply in heard:
            self._heard(reply)
        return self.strategy.aggregate_evaluate(server_round, heard)

    def summary(self) -> None:
        """Log what may wait, then the other strategy's summary."""
        log.info("compressed updates: of each, %s up and %s down may wait for the next",
                 self._error_up, self._error_down)  # fmt: skip
        self.strategy.summary()

    def _started(self, arrays: ArrayRecord) -> ArrayRecord:
        """The arrays; in the place of the initial ones, those that clients begin with."""
        if self._publisher is not None:
            return self._first if arrays is self._initial else arrays
        first = Model.first(arrays, self._start_error)
        run = int.from_bytes(os.urandom(4), "little")
        self._publisher = Publisher(run, first, self._compressor, self._error_down, self._most)
        self._initial, self._first = arrays, first.arrays()
        self._followed = self._first
        return self._first

    def _compress(self, messages: list[Message], arrays: ArrayRecord) -> None:
        """Put strings in the place of the arrays: what leads each client to them."""
        publisher = self._publisher
        if not messages or publisher is None:
            return
        if arrays is not self._followed:
            publisher.follow(arrays)
            self._followed = arrays
        for message in messages:
            content = dict(message.content)
            keys = list(message.content.array_records)
            if len(keys) != 1:
                raise ConfigError(f"expected one record of arrays in a message, got {keys}")
            del content[keys[0]]
            strings = publisher.strings_for(message.metadata.dst_node_id)
            told = ConfigRecord({"strings": strings, "error": self._error_up, "key": keys[0]})
            message.content = RecordDict({RECORD: told, **content})
            self._count(down=wire_bytes(message.content))

    def _open(self, reply: Message) -> bool:
        """Put arrays in the place of the update. False: a reply that cannot be used."""
        if not self._heard(reply):
            return True  # the other strategy logs errors
        node = reply.metadata.src_node_id
        try:
            reply.content = self._decoded(reply.content, node)
        except NarrowsError as error:
            log.warning("node %s: %s: %s", node, type(error).__name__, error)
            dropped = f"{node}: {type(error).__name__}: {error}"
            self._report = replace(self._report, dropped=(*self._report.dropped, dropped))
            return False
        return True

    def _heard(self, reply: Message) -> bool:
        """Whether a reply has content; then its node holds the newest version."""
        publisher, node = self._publisher, reply.metadata.src_node_id
        if publisher is None:
            return not reply.has_error()
        if reply.has_error():
            publisher.forget(node)
            return False
        publisher.acknowledged(node)
        self._count(up=wire_bytes(reply.content))
        return True

    def _decoded(self, content: RecordDict, node: int) -> RecordDict:
        """The update's arrays: the strategy's own model, changed as the client changed its."""
        told = content.config_records.get(RECORD)
        update = None if told is None else told.get("update")
        publisher = self._publisher
        trained = None if publisher is None else publisher.offered(node)
        if not isinstance(update, bytes) or publisher is None or trained is None:
            raise SessionError(f"a reply without {RECORD}: the client lacks CompressionMod")
        if header_of(update).run != publisher.run:
            raise SessionError("an update of another run")
        changes, exact = decode_update(update, trained)
        layout = trained.layout
        values = [
            self._before[tensor.name].numpy().astype(np.float32).ravel() + change
            for tensor, change in zip(layout.coded, changes, strict=True)
        ]
        others = {name: value for name, value in content.items() if name != RECORD}
        return RecordDict({ARRAYS: record(values, exact, layout), **others})

    def _count(self, up: int = 0, down: int = 0) -> None:
        report = self._report
        self._report = replace(
            report, bytes_up=report.bytes_up + up, bytes_down=report.bytes_down + down
        )
        if self.reports and self.reports[-1].number == report.number:
            self.reports[-1] = self._report  # evaluation belongs to the round that was reported
