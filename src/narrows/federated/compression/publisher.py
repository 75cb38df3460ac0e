"""The server's side of every client's model: which one it holds, and what to send it next.

A client is sent what its model lacks of the strategy's, coded with loss, and the server keeps the
model that this leads to, integer for integer. So what a difference leaves out is in the client's
next one, whenever that comes. Clients that hold the same model are sent the same bytes.
"""

from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from narrows.federated.compression.compressors import Reals
from narrows.federated.compression.feedback import Compressor, steps_towards
from narrows.federated.compression.layers import coded_of, exact_of
from narrows.federated.compression.messages import encode_difference, encode_whole
from narrows.federated.compression.model import Model


@dataclass
class Publisher:
    """Models of one run that clients hold, `most` at the most."""

    run: int
    first: Model
    compressor: Compressor
    error: float  # share of a difference's squared length that may wait for the next one
    most: int
    _whole: bytes = b""
    _values: list[Reals] = field(default_factory=list)  # what clients are led to
    _exact: bytes = b""
    _newest: int = 0
    _held: dict[int, Model] = field(default_factory=dict)  # node -> what it has acknowledged
    _offered: dict[int, Model] = field(default_factory=dict)  # node -> what it was sent now
    _led: dict[int, tuple[bytes, Model]] = field(default_factory=dict)  # from each version

    def __post_init__(self) -> None:
        self._whole = encode_whole(self.first, self.run)
        self.follow(self.first.arrays())

    def follow(self, arrays: ArrayRecord) -> None:
        """Lead clients to these from now on. Raises ConfigError: arrays of another model."""
        self._values = coded_of(arrays, self.first.layout)
        self._exact = exact_of(arrays, self.first.layout)
        self._led, self._offered = {}, {}

    def strings_for(self, node: int) -> list[bytes]:
        """What brings a node near to the arrays: a difference, after the first model if need be."""
        before = self._held.get(node)
        strings = [] if before is not None else [self._whole]
        before = before or self.first
        if before.version not in self._led:
            self._led[before.version] = self._lead(before)
        difference, after = self._led[before.version]
        self._offered[node] = after
        return [*strings, difference]

    def offered(self, node: int) -> Model | None:
        """The model that a node was sent since `follow`, and trains."""
        return self._offered.get(node)

    def held(self, node: int) -> Model | None:
        """The model that a node is known to hold."""
        return self._held.get(node)

    def acknowledged(self, node: int) -> None:
        """A node has answered: it holds what it was offered."""
        if node in self._offered:
            self._held.pop(node, None)
            self._held[node] = self._offered[node]
        if len(self._held) > self.most:
            del self._held[next(iter(self._held))]

    def forget(self, node: int) -> None:
        """A node failed: it may have restarted, and is sent the first model too next time."""
        self._held.pop(node, None)

    def _lead(self, before: Model) -> tuple[bytes, Model]:
        coded, steps = steps_towards(self._values, before, self.error, self.compressor)
        if not any(step.any() for step in steps) and before.exact == self._exact:
            return encode_difference(coded, before, before, self.run), before
        self._newest += 1
        after = before.stepped(self._newest, steps, self._exact)
        return encode_difference(coded, before, after, self.run), after
