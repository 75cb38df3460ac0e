"""What split fine-tuning is measured beside: all weights by FedAvg, and the classifier alone.

Both run the whole network on the device. Running statistics of norms stay as pretrained: with so
few pictures a device, its own are worse.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from narrows.federated.prompt.device import Examples
from narrows.federated.prompt.local import train_classifier
from narrows.federated.prompt.messages import Terms
from narrows.federated.prompt.network import TOGETHER, Learned
from narrows.models.backbones import Backbone
from narrows.training.teacher import normalise

ExamplesOf = Callable[[Context], Examples]


def full_app(net: Backbone, examples_of: ExamplesOf, terms: Terms, rate: float) -> ClientApp:
    """All weights learn for `terms.local_epochs`, at that learning rate."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        examples = examples_of(context)
        put_weights(net, message.content.array_records["arrays"])
        chance = _chance(message, context, terms)
        fine_tune(net, examples, terms, rate, chance)
        return _reply(message, weights_of(net), len(examples.labels))

    return app


def probe_app(net: Backbone, examples_of: ExamplesOf, terms: Terms) -> ClientApp:
    """The classifier learns on the frozen network's outputs, which are computed once."""
    app, known = ClientApp(), dict[int, Tensor]()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        examples = examples_of(context)
        if context.node_id not in known:
            known[context.node_id] = whole_outputs(net, examples.pixels)
        learned = Learned.from_arrays(message.content.array_records["arrays"])
        learned = train_classifier(
            learned,
            known[context.node_id],
            examples.labels,
            terms.local_epochs,
            terms,
            _chance(message, context, terms),
        )
        return _reply(message, learned.to_arrays(), len(examples.labels))

    return app


def fine_tune(
    net: Backbone, examples: Examples, terms: Terms, rate: float, chance: np.random.Generator
) -> None:
    """Stochastic gradient descent on all weights, in place."""
    net.eval().requires_grad_(True)
    optimiser = torch.optim.SGD(net.parameters(), rate, terms.momentum, weight_decay=terms.decay)
    for _ in range(terms.local_epochs):
        for batch in torch.from_numpy(chance.permutation(len(examples.labels))).split(terms.batch):
            logits = net(normalise(examples.pixels[batch].float(), net))
            loss = F.cross_entropy(logits, examples.labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    net.requires_grad_(False)


@torch.no_grad()
def whole_outputs(net: Backbone, pixels: Tensor) -> Tensor:
    """Pixels (n, 3, height, width) -> what the classifier takes (n, width)."""
    parts = [
        net.penultimate(net.rest[0](net.front(normalise(part.float(), net))))
        for part in pixels.split(TOGETHER)
    ]
    return torch.cat(parts)


def weights_of(net: nn.Module) -> ArrayRecord:
    """Every parameter, float32."""
    named = {name: tensor.detach().numpy() for name, tensor in net.named_parameters()}
    return ArrayRecord(
        {name: Array(np.ascontiguousarray(values)) for name, values in named.items()}
    )


@torch.no_grad()
def put_weights(net: nn.Module, arrays: ArrayRecord) -> None:
    for name, tensor in net.named_parameters():
        tensor.copy_(torch.from_numpy(arrays[name].numpy().copy()))


def _chance(message: Message, context: Context, terms: Terms) -> np.random.Generator:
    number = message.content.config_records["config"]["server-round"]
    assert isinstance(number, int)
    return np.random.default_rng([terms.seed, number, context.node_id])


def _reply(message: Message, arrays: ArrayRecord, examples: int) -> Message:
    metrics = MetricRecord({"num-examples": examples})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
