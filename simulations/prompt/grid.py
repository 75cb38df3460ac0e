"""Flower's nodes in this process, measured: bytes of every message, multiply-adds of every device.

Messages cross as the bytes that Flower would send. Arithmetic is what torch counts of the matrix
products and convolutions that a device's app runs, forward and backward.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from torch.utils.flop_counter import FlopCounterMode


def _backward_flops(
    gradient: Sequence[int], inputs: Sequence[int], weight: Sequence[int], *others: Any, **out: Any
) -> int:
    """Of a convolution, from its tensors' shapes: each wanted gradient costs what forward does.

    torch's own count takes a grouped convolution's gradient to its weights for a dense one.
    """
    wanted = others[-1]  # gradients: to inputs, weight, bias
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * sum(wanted[:2])


GROUPED = {torch.ops.aten.convolution_backward: _backward_flops}


class MeasuredGrid(Grid):
    """One client app for all nodes, each with its own state; replies come in the nodes' order."""

    def __init__(self, app: ClientApp, nodes: int, done: Callable[[], None]) -> None:
        """`done` is called after each message that was answered."""
        # Whose messages these are: Flower sets it in the process of a server app.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        self._app, self._done = app, done
        self._contexts = {
            1 + n: Context(1, 1 + n, {"partition-id": n}, RecordDict(), {}) for n in range(nodes)
        }
        self.bytes_up = self.bytes_down = self.multiply_adds = 0

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return [self._answered(message) for message in messages]

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def _answered(self, message: Message) -> Message:
        asked = _sent(message)
        heard, size = _received(asked), len(asked)
        self.bytes_down += size
        with FlopCounterMode(display=False, custom_mapping=GROUPED) as counter:
            try:
                reply = self._app(heard, self._contexts[heard.metadata.dst_node_id])
            except Exception as error:
                reply = Message(Error(code=0, reason=f"{error}"), reply_to=heard)
        self.multiply_adds += counter.get_total_flops() // 2
        answer = _sent(reply)
        self.bytes_up += len(answer)
        self._done()
        return _received(answer)

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Sequence[Message]:
        raise NotImplementedError


def _sent(message: Message) -> bytes:
    return bytes(message_to_proto(message).SerializeToString())


def _received(data: bytes) -> Message:
    return message_from_proto(ProtoMessage.FromString(data))
