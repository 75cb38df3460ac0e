"""`narrows bench rounds`: what learning together costs in bytes, by several ways to send updates.

Every method sees the same clients, draws the same of them in every round, begins with the same
weights and takes the same batches. Bytes are those of whole records as Flower serialises them.
"""

import json
import logging
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import starmap
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import torch
from flwr.app import ArrayRecord, Message
from flwr.serverapp.strategy import FedAvg, Strategy
from rich.console import Console
from rich.progress import Progress

from narrows.errors import ConfigError
from narrows.federated.compression.mod import CompressionMod
from narrows.federated.compression.sizes import wire_bytes
from narrows.federated.compression.strategy import CompressedUpdates
from narrows.federated.partition import dirichlet
from narrows.simulations.rounds.learning import (
    Training,
    accuracy,
    arrays_of,
    client_app,
    load,
    network,
)
from narrows.simulations.rounds.methods import METHODS, methods, written_bytes
from narrows.simulations.rounds.nodes import Nodes
from narrows.simulations.rounds.report import figures, print_figures

START_ERROR = 0.6  # the first weights are random: what they are exactly does not matter


@dataclass(frozen=True)
class Asked:
    """What is asked for."""

    data: Path
    rounds: int
    clients: int
    share: float  # of the clients, in every round
    alpha: float
    methods: str
    seeds: int
    last: int  # rounds whose accuracies are averaged
    jobs: int  # processes that share the runs
    folder: Path | None = None  # where finished runs are kept, and found again

    def settings(self) -> tuple[float, ...]:
        """What a run depends on besides its method and seed."""
        return (self.rounds, self.clients, self.share, self.alpha)


@dataclass
class Run:
    """One method with one seed."""

    method: str
    seed: int
    accuracies: list[float] = field(default_factory=list)  # of the server's model, after each round
    bytes_up: int = 0
    bytes_down: int = 0
    sent: list[int] = field(default_factory=list)  # both ways, until the end of each round


def run_rounds_bench(asked: Asked, as_json: bool, plot: Path | None) -> None:
    """Run every method with every seed, and print what they took and reached."""
    chosen = methods(asked.methods)
    if chosen[0].name != "fedavg":
        raise ConfigError("--methods must begin with fedavg, which the others are compared with")
    load(asked.data)  # a folder without the set is refused before processes begin
    todo = [(method.name, seed, asked) for seed in range(asked.seeds) for method in chosen]
    runs = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("runs", total=len(todo))
        for found_run in _each(todo, asked.jobs):
            runs.append(found_run)
            progress.update(task, description=f"{found_run.method} done", advance=1)
    found = figures(runs, asked)
    if plot is not None:
        from narrows.simulations.rounds.plots import draw

        draw(found, plot)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_figures(found)


def _each(todo: list[tuple[str, int, Asked]], jobs: int) -> Iterator[Run]:
    """Every run, in their order; in other processes when there are several jobs."""
    if jobs == 1:
        yield from starmap(kept_run, todo)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(kept_run, *zip(*todo, strict=True))


def kept_run(name: str, seed: int, asked: Asked) -> Run:
    """A run that was finished before with the same settings, or a new one."""
    if asked.folder is None:
        return run(name, seed, asked)
    asked.folder.mkdir(parents=True, exist_ok=True)
    path = asked.folder / f"{name}-{seed}.json"
    if path.exists():
        settings, before = msgspec.json.decode(
            path.read_bytes(), type=tuple[tuple[float, ...], Run]
        )
        if settings == asked.settings():
            return before
    found = run(name, seed, asked)
    path.write_bytes(msgspec.json.encode((asked.settings(), found)))
    return found


def run(name: str, seed: int, asked: Asked) -> Run:
    """All rounds of one method."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    method, pictures = METHODS[name], load(asked.data)
    parts = dirichlet(pictures.train_labels.numpy(), asked.clients, asked.alpha, seed, least=20)
    strategy: Strategy = FedAvg(
        fraction_train=asked.share, fraction_evaluate=0.0, min_train_nodes=2, min_available_nodes=2
    )
    compressor = method.up() if method.up else None
    mods: list[Any] = []
    if compressor is not None:
        mods = [CompressionMod(compressor)]
        strategy = CompressedUpdates(
            strategy,
            error_up=method.error_up,
            error_down=method.error_down,
            start_error=START_ERROR,
            compressor=method.down(),
        )
    nodes = Nodes(asked.clients, client_app(pictures, parts, Training(), seed, mods))
    found, plain = Run(method.name, seed), [0, 0]

    def heard(message: Message) -> None:
        if message.has_content():
            plain[message.metadata.src_node_id in nodes.contexts] += wire_bytes(message.content)

    def measured(number: int, arrays: ArrayRecord) -> None:
        if number:
            found.accuracies.append(accuracy(arrays, pictures))
            found.sent.append(sum(plain))

    nodes.heard = heard
    random.seed(seed)  # Flower draws clients with it
    first = arrays_of(network(seed))
    strategy.start(nodes, first, num_rounds=asked.rounds, evaluate_fn=measured)
    found.bytes_down, found.bytes_up = plain
    if method.own_sizes:
        trained = asked.rounds * max(2, int(asked.clients * asked.share))
        found.bytes_up = written_bytes(compressor)
        found.bytes_down = trained * sum(array.numpy().nbytes for array in first.values())
        found.sent = [(n + 1) * (found.bytes_up + found.bytes_down) // asked.rounds
                      for n in range(asked.rounds)]  # fmt: skip
    return found
