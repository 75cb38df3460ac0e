"""A run, as the server sees it: measure, learn for so many rounds, count, measure, publish.

1. Devices measure the bundle on photographs that they keep apart.
2. Rounds: nodes learn from their own photographs; the strategy makes the next model of theirs.
3. Every node counts how its photographs' symbols are distributed; the mean makes the new tables.
4. Devices measure again, with the new head and tables.
5. The new bundle is written, signed, and offered: `narrows serve` takes it, devices follow.
"""

import importlib.metadata
import logging
import random
import time
from datetime import datetime, timezone
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from safetensors.numpy import save as write_arrays

from narrows.codec.manifest import Manifest
from narrows.errors import SessionError
from narrows.federated.averaging import counting_strategy, learning_strategy
from narrows.federated.client_app import DISTRIBUTIONS, LEARNT, arrays_of, record_of
from narrows.federated.journal import Journal, Journalled
from narrows.federated.network import Network
from narrows.federated.publish import publish
from narrows.federated.recipe import RoundsRecipe, load_rounds_recipe
from narrows.federated.settings import ServerSettings

log = logging.getLogger(__name__)

POLL_S = 0.5


def run_rounds(grid: Grid, settings: ServerSettings) -> Manifest:
    """All of it; the new bundle's manifest.

    Raises:
        ConfigError, BundleError: what was asked for cannot be done.
        SessionError: too few nodes came, or no round had a result.
    """
    recipe = load_rounds_recipe(settings.recipe)
    network = Network.load(settings.bundle, recipe.local)
    random.seed(settings.seed)  # Flower draws a round's clients by it
    journal = Journal(settings.out.with_name(settings.out.name + ".rounds"))
    nodes = _gathered(grid, settings)
    journal.write(
        "began", clients=len(nodes), rounds=settings.rounds, recipe=recipe.name,
        bundle=network.manifest.digest,
    )  # fmt: skip
    before = _measured(grid, network, settings)
    strategy = learning_strategy(
        recipe, settings.least, settings.share, len(nodes), settings.timeout_s
    )
    _learn(grid, network, Journalled(strategy, journal), settings)
    _count(grid, network, recipe, settings)
    after = _measured(grid, network, settings)
    rounds = _provenance(recipe, settings, network, len(nodes), strategy)
    measured_on = f"{after['nodes']} devices' own, kept apart: {after['photographs']} photographs"
    manifest = publish(
        network, settings.out, settings.name, after, measured_on, rounds, settings.key
    )
    journal.write("ended", before=before, after=after, bundle=manifest.digest)
    return manifest


def _gathered(grid: Grid, settings: ServerSettings) -> list[int]:
    """Nodes that are here, when there are enough of them."""
    deadline_s = time.monotonic() + settings.timeout_s
    while len(nodes := list(grid.get_node_ids())) < settings.least:
        if time.monotonic() > deadline_s:
            raise SessionError(
                f"{len(nodes)} nodes came in {settings.timeout_s:.0f} s, least-clients is "
                f"{settings.least}: start more, or ask for fewer"
            )
        time.sleep(POLL_S)
    return nodes


def _learn(grid: Grid, network: Network, strategy: Strategy, settings: ServerSettings) -> None:
    result = strategy.start(
        grid,
        record_of(network.arrays()),
        num_rounds=settings.rounds,
        timeout=settings.timeout_s,
        train_config=_config(network),
        evaluate_config=_config(network),
    )
    if not result.arrays:
        raise SessionError("no round had a result: the journal says what clients answered")
    network.set(arrays_of(result.arrays))


def _count(grid: Grid, network: Network, recipe: RoundsRecipe, settings: ServerSettings) -> None:
    shape = network.bottleneck.histogram.shape
    strategy = counting_strategy(
        recipe.secure, settings.least, shape[0] * shape[1], settings.timeout_s
    )
    config = _config(network)
    config[LEARNT] = write_arrays(network.arrays())
    result = strategy.start(
        grid,
        record_of({DISTRIBUTIONS: np.zeros(tuple(shape), np.float32)}),
        num_rounds=1,
        timeout=settings.timeout_s,
        train_config=config,
    )
    if not result.arrays:
        raise SessionError("no node counted its symbols: the log says what they answered")
    network.set_distributions(arrays_of(result.arrays)[DISTRIBUTIONS])


def _measured(grid: Grid, network: Network, settings: ServerSettings) -> dict[str, Any]:
    """Means over all nodes' photographs that are kept apart."""
    arrays = network.arrays() | {DISTRIBUTIONS: network.distributions()}
    content = RecordDict({"arrays": record_of(arrays), "config": _config(network)})
    asked = [
        Message(content, node, "evaluate", ttl=settings.timeout_s) for node in grid.get_node_ids()
    ]
    found = []
    for reply in grid.send_and_receive(asked, timeout=settings.timeout_s):
        if reply.has_error():
            log.warning("node %s: %s", reply.metadata.src_node_id, reply.error.reason)
        else:
            found.append(reply.content.metric_records["metrics"])
    if not found:
        raise SessionError("no node measured the bundle: the log says what they answered")
    return _means(found)


def _means(found: list[MetricRecord]) -> dict[str, Any]:
    def total(name: str) -> Any:
        return np.sum([record[name] for record in found], axis=0)

    photographs, labelled = int(total("num-examples")), int(total("labelled"))

    def share(right: float) -> float | None:
        return round(float(right) / labelled, 4) if labelled else None

    rows = zip(total("packet-bytes"), total("right"), total("agreeing"), strict=True)
    return {
        "nodes": len(found),
        "photographs": photographs,
        "unsplit_accuracy": share(total("unsplit-right")),
        "points": [
            {
                "packet_bytes": float(size) / photographs,
                "accuracy": share(right),
                "agreement": round(float(agreeing) / photographs, 4),
            }
            for size, right, agreeing in rows
        ],
    }


def _config(network: Network) -> ConfigRecord:
    return ConfigRecord({"digest": network.manifest.digest})


def _provenance(
    recipe: RoundsRecipe,
    settings: ServerSettings,
    network: Network,
    clients: int,
    strategy: Strategy,
) -> dict[str, Any]:
    reports = getattr(strategy, "reports", [])
    epsilon = getattr(reports[-1], "epsilon", None) if reports else None
    return {
        "from": network.manifest.digest,
        "recipe": recipe.model_dump(mode="json"),
        "rounds": settings.rounds,
        "clients": clients,
        "clients_per_round": settings.share,
        "seed": settings.seed,
        "epsilon": epsilon,
        "narrows": importlib.metadata.version("narrows"),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
