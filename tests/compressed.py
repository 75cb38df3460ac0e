"""Small models, their versions and updates, for tests of what rounds send."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from narrows.federated.compression.mod import CompressionMod
from narrows.federated.compression.model import Model


def arrays(seed: int = 0) -> ArrayRecord:
    """Weights, a layer that begins as zeros, and what must not be rounded."""
    chance = np.random.default_rng(seed)
    layers = {
        "dense.weight": chance.normal(size=(40, 90)).astype(np.float32) / 10,
        "dense.bias": np.zeros(40, np.float32),
        "half": chance.normal(size=(3, 20)).astype(np.float16),
        "tiny": np.array([0.25, -3.5], np.float32),
        "norm.running_var": np.full(20, 1e-5, np.float32),
        "steps": np.array(5, np.int64),
    }
    return ArrayRecord({name: Array(values) for name, values in layers.items()})


def first(seed: int = 0) -> Model:
    return Model.first(arrays(seed), 0.03)


def trained(before: ArrayRecord, chance: np.random.Generator) -> ArrayRecord:
    """After a step of training that changes some numbers more than others."""
    after = {}
    for name, array in before.items():
        values = array.numpy()
        step = chance.standard_t(2, size=values.shape) / 100
        if values.dtype == np.int64:
            step = 3
        if name.endswith("running_var"):
            step = 0.5 * values
        after[name] = Array(np.asarray((values + step).astype(values.dtype)))
    return ArrayRecord(after)


def app(*mods: CompressionMod) -> ClientApp:
    """A client app that trains and evaluates, and notes in its state which model it was given."""
    found = ClientApp(mods=list(mods))

    @found.train()
    def train(message: Message, context: Context) -> Message:
        given = message.content["arrays"]
        context.state["seen"] = given
        chance = np.random.default_rng([context.node_id, message.content["config"]["server-round"]])
        metrics = MetricRecord({"num-examples": 10 + context.node_id % 7, "loss": 0.5})
        content = RecordDict({"arrays": trained(given, chance), "metrics": metrics})
        return Message(content, reply_to=message)

    @found.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        context.state["seen"] = message.content["arrays"]
        metrics = MetricRecord({"num-examples": 1, "accuracy": 0.5})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return found


def equal(one: ArrayRecord, other: ArrayRecord) -> bool:
    """Bit for bit, types and shapes too."""
    return list(one) == list(other) and all(
        one[name].numpy().dtype == other[name].numpy().dtype
        and one[name].numpy().shape == other[name].numpy().shape
        and one[name].numpy().tobytes() == other[name].numpy().tobytes()
        for name in one
    )
