"""Flower's nodes in this process: each runs a client app of its own, and may fall silent."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from narrows.federated.secure import mod
from narrows.federated.secure.mod import SecureMod
from narrows.simulations.rounds.nodes import Nodes


class SecureNodes(Nodes):
    """Nodes that mask: each with an app of its own, silent where `lost` says so of a stage."""

    def __init__(self, size: int, app_of: Callable[[int], ClientApp]) -> None:
        super().__init__(size, ClientApp())
        self.apps = {node: app_of(node) for node in self.contexts}
        self.silent: Callable[[int, str], bool] = lambda node, stage: False
        self.exchanges: list[str] = []
        self.received: list[bytes] = []

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        for message in messages:
            node, stage = message.metadata.dst_node_id, message.metadata.message_type.split(".")[-1]
            if [stage] != self.exchanges[-1:]:
                self.exchanges.append(stage)
            if self.silent(node, stage):
                continue
            self.app = self.apps[node]
            reply = self.answered(message)
            if reply.has_content():
                self.received += [
                    bytes(value)
                    for record in reply.content.config_records.values()
                    for value in record.values()
                ]
                assert list(reply.content) == [mod.RECORD] or stage == "evaluate"
            replies.append(reply)
        return replies


def model() -> ArrayRecord:
    layers = {
        "weight": np.linspace(-1, 1, 600, dtype=np.float32).reshape(20, 30),
        "bias": np.zeros(7, np.float32),
        "steps": np.array(5, np.int64),
    }
    return ArrayRecord({name: Array(values) for name, values in layers.items()})


def app_of(node: int, credentials: Path | None = None, least: int = 3) -> ClientApp:
    secure, app = SecureMod(credentials, least), ClientApp()
    secure.answer(app)

    @app.train(mods=[secure])
    def train(message: Message, context: Context) -> Message:
        chance = np.random.default_rng(node)
        trained = {}
        for key, array in message.content["arrays"].items():
            values = array.numpy()
            step = chance.normal(size=values.shape) / 100 + 1000 * (values.dtype == np.int64)
            trained[key] = Array(np.asarray((values + step).astype(values.dtype)))
        metrics = MetricRecord({"num-examples": 10 + node % 7, "loss": 0.5, "secret": 3.0})
        content = RecordDict({"arrays": ArrayRecord(trained), "metrics": metrics})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return Message(
            RecordDict({"metrics": MetricRecord({"num-examples": 1, "accuracy": 0.5})}),
            reply_to=message,
        )

    return app
