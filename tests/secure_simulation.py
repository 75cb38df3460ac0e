"""Flower's Ray simulation of rounds with secure aggregation, which waits to be looked into.

python secure_simulation.py FOLDER: prints "held" when the server has all masked updates of a round
and "done" at the end, and goes on at a line on standard input. Clients leave what they quantised
in FOLDER, from their own processes.
"""

import sys
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from narrows.federated.secure import mod
from narrows.federated.secure.mod import SecureMod
from narrows.federated.secure.round import Round
from narrows.federated.secure.strategy import SecureAggregation

CLIENTS, ROUNDS, SIZE = 4, 2, 20_000
FAILING = (1, 2)  # client and round: it trains and falls over


def initial() -> np.ndarray:
    return np.random.default_rng(99).normal(size=SIZE).astype(np.float32)


def update_of(client: int, number: int) -> np.ndarray:
    values = np.random.default_rng(10 * client + number).normal(size=SIZE)
    return (values / 100).astype(np.float32)


def client_app(folder: Path) -> ClientApp:
    secure, app = SecureMod(), ClientApp()
    secure.answer(app)

    @app.train(mods=[secure])
    def train(message: Message, context: Context) -> Message:
        client, number = context.node_config["partition-id"], message.content["config"]
        number = number["server-round"]
        quantise = getattr(mod.quantise, "plain", mod.quantise)

        def leaving(*arguments):
            integers = quantise(*arguments)
            np.save(folder / f"{client}-{number}.npy", integers.coordinates)
            if (client, number) == FAILING:
                raise RuntimeError("this client falls over")
            return integers

        leaving.plain = quantise
        mod.quantise = leaving
        trained = message.content["arrays"]["weight"].numpy() + update_of(client, number)
        content = {
            "arrays": ArrayRecord({"weight": Array(trained)}),
            "metrics": MetricRecord({"num-examples": 1}),
        }
        return Message(RecordDict(content), reply_to=message)

    return app


def say(word: str) -> None:
    print(word, flush=True)
    sys.stdin.readline()


def server_app(folder: Path) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        finish = Round.finish

        def held(this, revealed):
            say("held")
            return finish(this, revealed)

        Round.finish = held
        strategy = SecureAggregation(
            FedAvg(fraction_evaluate=0.0, min_train_nodes=CLIENTS), clipping_norm=3.0
        )
        model = ArrayRecord({"weight": Array(initial())})
        result = strategy.start(grid, model, num_rounds=ROUNDS, timeout=400)
        np.save(folder / "final.npy", result.arrays["weight"].numpy())
        print([(r.survivors, r.error) for r in strategy.reports], flush=True)
        say("done")

    return app


if __name__ == "__main__":
    place = Path(sys.argv[1])
    run_simulation(
        server_app(place),
        client_app(place),
        CLIENTS,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {
                "address": "local",  # another on this machine is another's
                "num_cpus": 2,
                "include_dashboard": False,
                "object_store_memory": 80 * 1024 * 1024,
            },
        },
    )
