"""Flower's nodes in this process: a client app, a state for each node, and who says nothing when.

As a grid for a server app's strategy; a round of many clients takes no longer than their training.
"""

from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

FIRST_NODE = 1
SERVER_NODE = 1 << 20  # whom messages are from that nodes are sent


class Nodes(Grid):
    """Nodes that run one client app here. `lost`: whether a node's answer to a message is lost."""

    def __init__(self, size: int, app: ClientApp) -> None:
        # Whose messages these are: Flower sets it in the process of a server app.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, SERVER_NODE, 1
        self.contexts = {
            FIRST_NODE + n: Context(1, FIRST_NODE + n, {"partition-id": n}, RecordDict(), {})
            for n in range(size)
        }
        self.app = app
        self.lost: Callable[[int], bool] = lambda node: False
        self.heard: Callable[[Message], None] = lambda message: None  # every one, either way

    def get_node_ids(self) -> list[int]:
        """All of them."""
        return list(self.contexts)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Each node's answer in turn; an app's error is an answer, as in Flower."""
        replies = []
        for message in messages:
            self.heard(message)
            if self.lost(message.metadata.dst_node_id):
                continue
            reply = self.answered(message)
            self.heard(reply)
            replies.append(reply)
        return replies

    def answered(self, message: Message) -> Message:
        """What a node's app says to a message."""
        try:
            return self.app(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:
            return Message(Error(code=0, reason=f"{error}"), reply_to=message)

    # The rest of Flower's Grid: its strategies call none of it.
    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError
