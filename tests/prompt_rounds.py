"""Split fine-tuning of a tiny network on coloured squares, with a link that may lose and damage."""

from collections.abc import Callable

import numpy as np
import torch
from flwr.app import ConfigRecord, Message
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from narrows.federated.prompt.device import Examples, PromptDevice
from narrows.federated.prompt.messages import RECORD, Terms
from narrows.federated.prompt.network import ThreeParts, cut_in_three
from narrows.federated.prompt.strategy import PromptTuning
from narrows.models.backbones import build_backbone
from narrows.simulations.prompt.grid import MeasuredNodes

LABELS, SIDE = 5, 32
FINE = {"activation_step": 0.01, "output_step": 0.01, "gradient_step": 0.01}


def network() -> ThreeParts:
    torch.manual_seed(3)
    backbone = build_backbone("small_resnet", LABELS, 4)
    for norm in backbone.modules():  # the last of a branch begins at zero, which hides all before
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(norm.weight)
    return cut_in_three(backbone, 1)


def examples(node: int, count: int = 24) -> Examples:
    """Squares of a colour for each label, noise over them."""
    chance = np.random.default_rng(node)
    colours = np.random.default_rng(0).integers(30, 226, (LABELS, 3, 1, 1))
    labels = chance.integers(0, LABELS, count)
    pixels = colours[labels] + chance.normal(0, 20, (count, 3, SIDE, SIDE))
    return Examples(
        torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)
    )


class Link(MeasuredNodes):
    """Keeps replies; loses those that `lost` says, and changes messages by `changed`."""

    def __init__(self, parts: ThreeParts, nodes: int, of: Callable = examples) -> None:
        app = ClientApp()
        PromptDevice(parts.head, lambda context: of(context.node_config["partition-id"])).answer(
            app
        )
        super().__init__(app, nodes, lambda: None)
        self.replies: list[Message] = []
        self.lost: Callable[[int, str], bool] = lambda node, action: False
        self.changed: Callable[[int, str, str, Message], None] = lambda *_: None

    def send_and_receive(self, messages, *, timeout=None):
        found = []
        for message in messages:
            node, action = message.metadata.dst_node_id, message.metadata.message_type
            if self.lost(node, action):
                continue
            self.changed(node, action, "down", message)
            reply = self.answered(message)
            self.changed(node, action, "up", reply)
            found.append(reply)
        self.replies += found
        return found

    def context(self, node: int):
        return self.contexts[node]

    def alone(self, message: Message) -> Message:
        return self.answered(message)


def tuning(parts: ThreeParts, **terms) -> PromptTuning:
    average = FedAvg(
        fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1, min_evaluate_nodes=0
    )
    return PromptTuning(average, parts.body, Terms(**terms))


def rounds(link: Link, strategy: PromptTuning, parts: ThreeParts, count: int):
    """The arrays after so many rounds."""
    return strategy.start(link, parts.beginning(SIDE).to_arrays(), num_rounds=count).arrays


def told(message: Message) -> bytes:
    return message.content.config_records[RECORD]["message"]


def tell(message: Message, data: bytes) -> None:
    message.content[RECORD] = ConfigRecord({"message": data})
