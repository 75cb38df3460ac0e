"""The server's model as clients hold it: versions, who has which, and what to send to whom.

The published model follows the strategy's by differences that are coded with loss; the server adds
to its own exactly what it sends, so a client's model is one of these versions, bit for bit. What a
difference leaves out is in the next one.
"""

from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from narrows.federated.compression.feedback import Stepper
from narrows.federated.compression.layers import coded_of, exact_of
from narrows.federated.compression.messages import encode_difference, encode_whole
from narrows.federated.compression.model import Model


@dataclass
class Publisher:
    """Versions of one run's model. Keeps those that clients hold, `most` at the most."""

    run: int
    error: float  # share of a difference's squared length that may wait for the next one
    most: int
    model: Model
    stepper: Stepper
    _whole: bytes = b""
    _steps: dict[int, bytes] = field(default_factory=dict)  # to each version from the one before
    _versions: dict[int, Model] = field(default_factory=dict)
    _holders: dict[int, int] = field(default_factory=dict)  # node -> version it has acknowledged
    _coded: dict[int, list[bytes]] = field(default_factory=dict)  # to the newest from each version

    def __post_init__(self) -> None:
        self._whole = encode_whole(self.model, self.run)
        self._versions[self.model.version] = self.model

    def publish(self, arrays: ArrayRecord) -> None:
        """A new version, nearer to these arrays. Raises ConfigError: arrays of another model."""
        layout, before = self.model.layout, self.model
        steps = self.stepper(coded_of(arrays, layout), before, self.error)
        self.model = before.stepped(before.version + 1, steps, exact_of(arrays, layout))
        self._versions[self.model.version] = self.model
        self._steps[self.model.version] = encode_difference(before, self.model, self.run)
        self._coded = {}
        self._tidy()

    def strings_for(self, node: int) -> list[bytes]:
        """What brings a node to the newest version, from what it is known to hold."""
        version = self._holders.get(node, -1)
        if version not in self._coded:
            self._coded[version] = self._from(version)
        return self._coded[version]

    def acknowledged(self, node: int, version: int) -> None:
        """A node has answered to a message that led it to this version."""
        if version in self._versions:
            self._holders[node] = version

    def forget(self, node: int) -> None:
        """A node failed: it may have restarted, and is sent the whole model next time."""
        self._holders.pop(node, None)

    def _from(self, version: int) -> list[bytes]:
        """Every difference since, or all in one, whichever is smaller."""
        first = [] if version >= 0 else [self._whole]
        before = self._versions.get(max(version, 0))
        if before is None or (version < 0 and self.model.version == 0):
            return first
        at_once = encode_difference(before, self.model, self.run)
        chain = [self._steps.get(v, b"") for v in range(before.version + 1, self.model.version + 1)]
        if chain and all(chain) and sum(map(len, chain)) < len(at_once):
            return [*first, *chain]
        return [*first, at_once]

    def _tidy(self) -> None:
        """Forget versions that nobody holds; nodes with too old ones begin anew."""
        held = {0, self.model.version, *self._holders.values()}
        newest = sorted(held - {0})[-self.most :]
        for version in [v for v in self._versions if v not in {0, *newest}]:
            del self._versions[version]
        for node in [n for n, v in self._holders.items() if v not in self._versions]:
            del self._holders[node]
        oldest = min(newest, default=0)
        self._steps = {v: step for v, step in self._steps.items() if v > oldest}
