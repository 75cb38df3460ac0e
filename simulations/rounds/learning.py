"""What the clients learn: pictures of a real set, dealt out, and a small convolutional network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from torch import nn

from narrows.errors import SourceError
from narrows.federated.partition import Rows

FASHION = "fashion_mnist.npz"


@dataclass(frozen=True)
class Pictures:
    """float32 (records, channels, height, width) about 0, and int64 labels; what is kept out."""

    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor


def load(folder: Path) -> Pictures:
    """Fashion-MNIST. Raises SourceError: it is not there, or is not that."""
    path = folder / FASHION
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{path}: {error}: --data names the folder with {FASHION}") from None
    return Pictures(
        _ready(parts["x_train"]), torch.from_numpy(parts["y_train"].astype(np.int64)),
        _ready(parts["x_test"]), torch.from_numpy(parts["y_test"].astype(np.int64)),
    )  # fmt: skip


def _ready(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((pictures.astype(np.float32) / 255 - 0.29) / 0.35)[:, None]


def network(seed: int) -> nn.Module:
    """204,906 numbers for 28 x 28 pictures of 10 classes."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip


def arrays_of(model: nn.Module) -> ArrayRecord:
    """The network's weights as Flower carries them."""
    return ArrayRecord({k: Array(v.numpy().copy()) for k, v in model.state_dict().items()})


def load_into(model: nn.Module, arrays: ArrayRecord) -> None:
    """The inverse of `arrays_of`."""
    model.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in arrays.items()})


@dataclass(frozen=True)
class Training:
    """What a client does in a round."""

    epochs: int = 2
    batch: int = 48
    step_size: float = 0.05
    momentum: float = 0.5


def client_app(
    pictures: Pictures, parts: list[Rows], training: Training, seed: int, mods: list[Mod]
) -> ClientApp:
    """An app whose node n trains on part n; the same seed draws the same batches."""
    app, model = ClientApp(mods=mods), network(seed)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        part = parts[int(context.node_config["partition-id"])]
        number = message.content.config_records["config"]["server-round"]
        assert isinstance(number, int)
        chance = np.random.default_rng([seed, number, context.node_id])
        load_into(model, message.content.array_records["arrays"])
        loss = _fit(model, pictures, part, training, chance)
        metrics = MetricRecord({"num-examples": len(part), "loss": loss})
        content = RecordDict({"arrays": arrays_of(model), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


def accuracy(arrays: ArrayRecord, pictures: Pictures) -> float:
    """Of the pictures that are kept out, the share whose label is found."""
    model = network(0)
    load_into(model, arrays)
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in pictures.test.split(500)])
    return float((found == pictures.test_labels).float().mean())


def _fit(
    model: nn.Module,
    pictures: Pictures,
    part: Rows,
    training: Training,
    chance: np.random.Generator,
) -> float:
    """Stochastic gradient descent on a client's pictures; the last epoch's mean loss."""
    optimiser = torch.optim.SGD(model.parameters(), training.step_size, training.momentum)
    loss = 0.0
    for _ in range(training.epochs):
        loss = 0.0
        for rows in np.array_split(chance.permutation(part), max(1, len(part) // training.batch)):
            chosen = torch.from_numpy(rows)
            optimiser.zero_grad()
            found = nn.functional.cross_entropy(
                model(pictures.train[chosen]), pictures.train_labels[chosen]
            )
            found.backward()
            optimiser.step()
            loss += float(found.detach()) * len(rows) / len(part)
    return loss
