"""Flower's nodes in this process, measured: bytes of every message, multiply-adds of every device.

Messages cross as the bytes that Flower would send. Arithmetic is what torch counts of the matrix
products and convolutions that a device's app runs, forward and backward.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from flwr.app import Message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from torch.utils.flop_counter import FlopCounterMode

from narrows.simulations.rounds.nodes import Nodes


def _backward_flops(
    gradient: Sequence[int], inputs: Sequence[int], weight: Sequence[int], *others: Any, **out: Any
) -> int:
    """Of a convolution, from its tensors' shapes: each wanted gradient costs what forward does.

    torch's own count takes a grouped convolution's gradient to its weights for a dense one.
    """
    wanted = others[-1]  # gradients: to inputs, weight, bias
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * sum(wanted[:2])


GROUPED = {torch.ops.aten.convolution_backward: _backward_flops}


class MeasuredNodes(Nodes):
    """Nodes that count what crosses and what they compute."""

    def __init__(self, app: ClientApp, nodes: int, done: Callable[[], None]) -> None:
        """`done` is called after each message that was answered."""
        super().__init__(nodes, app)
        self._done = done
        self.bytes_up = self.bytes_down = self.multiply_adds = 0

    def answered(self, message: Message) -> Message:
        """As Flower would carry it there and back."""
        asked = _sent(message)
        self.bytes_down += len(asked)
        with FlopCounterMode(display=False, custom_mapping=GROUPED) as counter:
            reply = super().answered(_received(asked))
        self.multiply_adds += counter.get_total_flops() // 2
        answer = _sent(reply)
        self.bytes_up += len(answer)
        self._done()
        return _received(answer)


def _sent(message: Message) -> bytes:
    return bytes(message_to_proto(message).SerializeToString())


def _received(data: bytes) -> Message:
    return message_from_proto(ProtoMessage.FromString(data))
