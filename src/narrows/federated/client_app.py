"""The client's half in Flower: learn on the device's own photographs, count, measure.

`train` answers twice over: with what it learnt, and, after the last round, with how often each
symbol occurs, which is what the new bundle's tables are made of. Both go the recipe's way: as coded
differences, under masks, or as they are. Photographs, labels and answers stay here.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from safetensors.numpy import load as read_arrays

from narrows.errors import ConfigError
from narrows.federated.compression.mod import RECORD as COMPRESSED
from narrows.federated.compression.mod import CompressionMod
from narrows.federated.learning import count_symbols, learn
from narrows.federated.measuring import measure
from narrows.federated.network import Arrays, Network
from narrows.federated.photographs import load, own_photographs
from narrows.federated.recipe import load_rounds_recipe
from narrows.federated.secure.mod import QUERIES, SecureMod
from narrows.federated.settings import ClientSettings
from narrows.training.recipe import SplitPhase

DISTRIBUTIONS = "distributions"  # an array's name, and that of the query for it
LEARNT = "learnt"  # in a query: the network whose symbols are to be counted, as safetensors

app = ClientApp()


def travelling(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Put the recipe's way of travelling around training."""
    settings = ClientSettings.of(context)
    recipe = load_rounds_recipe(settings.recipe)
    if recipe.secure or settings.secure_only:
        return SecureMod(settings.credentials)(message, context, call_next)
    if COMPRESSED in message.content:
        return CompressionMod()(message, context, call_next)
    return call_next(message, context)


@app.train(mods=[travelling])
def train(message: Message, context: Context) -> Message:
    """Arrays in, arrays out, as ever."""
    settings = ClientSettings.of(context)
    network, config = _network(settings, message)
    own = own_photographs(settings.place)
    data = load(own, own.entries, network.manifest)
    came = arrays_of(message.content.array_records["arrays"])
    if list(came) == [DISTRIBUTIONS]:
        network.set(read_arrays(_bytes(config, LEARNT)))
        count_symbols(network, data)
        counted = {DISTRIBUTIONS: network.distributions()}
        return _reply(message, counted, {"num-examples": len(data)})
    network.set(came)
    number = int(_number(config, "server-round", 1))
    done = learn(
        network,
        data,
        seed=settings.seed + 7919 * number,
        share=(number - 1) / settings.rounds,
        proximal_mu=_number(config, "proximal-mu", 0.0),
    )
    return _reply(message, network.arrays(), {"num-examples": done.photographs, "loss": done.loss})


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Sums over photographs kept apart: packets' bytes and right answers, point by point."""
    settings = ClientSettings.of(context)
    network, _ = _network(settings, message)
    came = arrays_of(message.content.array_records["arrays"])
    network.set_distributions(came.pop(DISTRIBUTIONS))
    network.set(came)
    own = own_photographs(settings.place)
    if not own.kept:
        raise ConfigError(
            f"{len(own.entries)} photographs are too few to keep any apart: nothing is measured"
        )
    figures = measure(network, load(own, own.kept, network.manifest))
    told = MetricRecord(
        {
            "num-examples": figures.photographs,
            "labelled": figures.labelled,
            "packet-bytes": list(figures.packet_bytes),
            "right": list(figures.right),
            "agreeing": list(figures.agreeing),
            "unsplit-right": figures.unsplit_right,
        }
    )
    return Message(RecordDict({"metrics": told}), reply_to=message)


def _exchange(action: str, message: Message, context: Context) -> Message:
    return SecureMod(ClientSettings.of(context).credentials).exchange(action, message, context)


for _action in QUERIES:
    app.query(_action)(partial(_exchange, _action))


def arrays_of(record: ArrayRecord) -> Arrays:
    """A record's arrays by name."""
    return {name: array.numpy() for name, array in record.items()}


def record_of(arrays: Arrays) -> ArrayRecord:
    """The inverse."""
    return ArrayRecord({name: Array(np.asarray(values)) for name, values in arrays.items()})


def _network(settings: ClientSettings, message: Message) -> tuple[Network, ConfigRecord]:
    network = _loaded(settings.bundle, load_rounds_recipe(settings.recipe).local)
    config = message.content.config_records["config"]
    if config.get("digest") != network.manifest.digest:
        raise ConfigError(
            f"{settings.bundle} has digest {network.manifest.digest[:12]}, the server begins from "
            f"{str(config.get('digest'))[:12]}: fetch that bundle"
        )
    return network, config


@lru_cache(maxsize=1)  # simulated clients of a process take turns; what learns is set every time
def _loaded(bundle: Path, phase: SplitPhase) -> Network:
    return Network.load(bundle, phase)


def _bytes(config: ConfigRecord, key: str) -> bytes:
    value = config.get(key)
    if not isinstance(value, bytes):
        raise ConfigError(f"{key}: expected bytes, got {type(value).__name__}")
    return value


def _number(config: ConfigRecord, key: str, default: float) -> float:
    value = config.get(key, default)
    if not isinstance(value, int | float):
        raise ConfigError(f"{key}: expected a number, got {type(value).__name__}")
    return value


def _reply(message: Message, arrays: Arrays, metrics: Mapping[str, float]) -> Message:
    told = MetricRecord(dict(metrics))
    return Message(RecordDict({"arrays": record_of(arrays), "metrics": told}), reply_to=message)
