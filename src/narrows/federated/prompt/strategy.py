"""The server's side in Flower: a strategy around another, which averages prompts and classifiers.

    strategy = PromptTuning(FedAvg(fraction_train=0.1), parts.body)
    strategy.start(grid, parts.beginning(side=128).to_arrays(), num_rounds=10, timeout=600)

A round is three exchanges with each device, however many batches it trains, as in a deployment
every message starts a process: `train`, `train.tail`, `train.prompt`. The body stays here and is
frozen. Devices' activations do not change either, so each picture's are sent once and kept, coded,
as long as the strategy lives. Who vanishes or sends what cannot be read is left out of the round.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from torch import Tensor, nn

from narrows.errors import NarrowsError, PacketError
from narrows.federated.prompt.coding import Coding, code, decoded
from narrows.federated.prompt.local import kept_of
from narrows.federated.prompt.messages import PROMPT, TAIL, Chosen, Coded, Plan, Terms
from narrows.federated.prompt.network import NAMES, TOGETHER, Learned, outputs, prompt_gradient

log = logging.getLogger(__name__)

S = TypeVar("S")
T = TypeVar("T")
Places = tuple[int, ...]

MOST_PICTURES = 1 << 16  # of one device
COUNT = "num-examples"  # the metric that weighs a device


@dataclass(frozen=True)
class RoundReport:
    """What became of a round."""

    number: int
    asked: int  # devices
    survivors: int = 0  # whose prompts and classifiers were averaged
    pictures: int = 0  # that went through the body


@dataclass(eq=False)
class _Held:
    """A device's coded activations by place, and how to decode them."""

    coding: Coding | None = None
    strings: dict[int, bytes] = field(default_factory=dict)


class PromptTuning(Strategy):
    """Any strategy that averages, around split training with a frozen body."""

    def __init__(
        self,
        strategy: Strategy,
        body: nn.Module,
        terms: Terms | None = None,
        timeout: float = 600.0,
    ) -> None:
        """
        Parameters
        ----------
        strategy : Strategy
            What chooses the devices and averages what they learned.
        body : nn.Module
            Features (n, channels, h, w) -> outputs (n, width).
        terms : Terms
            How devices train.
        timeout : float
            Seconds to wait for gradients, and again for what was learned; `start` has the choice's.
        """
        self.strategy, self.reports = strategy, list[RoundReport]()
        self._body = body.eval().requires_grad_(False)
        self._terms, self._timeout = terms or Terms(), timeout
        self._held: dict[int, _Held] = {}
        self._chosen: dict[int, Places] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The other strategy's messages, each with the round's plan. Raises ConfigError."""
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        self._learned, self._grid = Learned.from_arrays(arrays), grid
        self._report = RoundReport(server_round, len(messages))
        for message in messages:
            held = self._held.get(message.metadata.dst_node_id, _Held()).strings
            plan = Plan(server_round, self._terms, tuple(held)).record()
            message.content = RecordDict({**message.content, **plan})
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Phase 3 with who chose pictures, then the other strategy's average."""
        self._chosen = self._read(replies, self._accept)
        gradients = self._exchange(TAIL, self._chosen, self._outputs, self._gradient)
        finished = self._exchange(PROMPT, gradients, self._prompt_gradient, self._checked)
        pictures = sum(len(self._chosen[node]) for node in finished)
        self.reports.append(replace(self._report, survivors=len(finished), pictures=pictures))
        return self.strategy.aggregate_train(server_round, finished.values())

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Nobody is asked: a device has no body to score with. `start` takes an `evaluate_fn`."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """As the other strategy does."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        """Log the terms, then the other strategy's summary."""
        log.info("split training with prompts: %s", self._terms)
        self.strategy.summary()

    def _accept(self, node: int, reply: Message) -> Places:
        """Keep a device's new activations, once all of them decode. Raises PacketError."""
        told, held = Chosen.decode(reply), self._held.get(node, _Held())
        new = [place for place in told.places if place not in held.strings]
        if not told.places or len(set(told.places)) < len(told.places):
            raise PacketError(f"places {told.places[:8]}...: expected at least one, and each once")
        if len(new) != len(told.strings):
            raise PacketError(f"{len(told.strings)} activations for {len(new)} pictures: resend")
        coding = Coding.from_bytes(told.coding, len(self._learned.prompt))
        if held.coding is not None and told.coding != held.coding.to_bytes():
            del self._held[node]
            raise PacketError("other tables than before: it has forgotten, and begins anew")
        strings = held.strings | dict(zip(new, told.strings, strict=True))
        if len(strings) > MOST_PICTURES:
            raise PacketError(f"more than {MOST_PICTURES} pictures of one device")
        positions = self._learned.prompt[0].numel()
        for string in told.strings:
            coding.decode([string], 1, positions)
        self._held[node] = _Held(coding, strings)
        return told.places

    def _features(self, node: int) -> Iterator[Tensor]:
        """The chosen pictures' features, a few (n, channels, h, w) at a time."""
        held, shape = self._held[node], self._learned.prompt.shape
        assert held.coding is not None
        places = self._chosen[node]
        for start in range(0, len(places), TOGETHER):
            strings = [held.strings[place] for place in places[start : start + TOGETHER]]
            values = held.coding.decode(strings, 1, shape[1] * shape[2])
            yield torch.from_numpy(values).reshape(-1, *shape)

    def _outputs(self, node: int, places: Places) -> Coded:
        found = outputs(self._body, self._features(node), self._learned.prompt)
        return self._coded(found[:, :, None], self._terms.output_step)

    def _gradient(self, node: int, reply: Message) -> Tensor:
        """To the outputs (n, width). Raises PacketError."""
        told, width = Coded.decode(reply), self._learned.weight.shape[1]
        shape = (len(self._chosen[node]), width, 1)
        return torch.from_numpy(decoded((told.coding, told.string), shape)[:, :, 0])

    def _prompt_gradient(self, node: int, gradient: Tensor) -> Coded:
        prompt = self._learned.prompt
        found = prompt_gradient(self._body, self._features(node), prompt, gradient)
        return self._coded(found.flatten(1)[None], self._terms.gradient_step)

    def _coded(self, values: Tensor, step: float) -> Coded:
        return Coded(self._report.number, *code(values.numpy(), step))

    def _checked(self, node: int, reply: Message) -> Message:
        """A device's reply with what the other strategy may average alone. Raises NarrowsError.

        The pictures that it says it has must be as many as its choice is the kept part of.
        """
        learned = Learned.of(reply)
        for name in NAMES:
            ours, theirs = getattr(self._learned, name), getattr(learned, name)
            if ours.shape != theirs.shape or not bool(theirs.isfinite().all()):
                raise PacketError(
                    f"{name}: expected finite {tuple(ours.shape)}, got {tuple(theirs.shape)}"
                )
        found = [record.get(COUNT) for record in reply.content.metric_records.values()]
        count, chosen = found[0] if found else None, len(self._chosen[node])
        if not isinstance(count, int) or kept_of(count, self._terms.kept) != chosen:
            raise PacketError(f"{COUNT} is {count}: {chosen} pictures are no kept part of so many")
        metrics = MetricRecord({COUNT: count})
        reply.content = RecordDict({"arrays": learned.to_arrays(), "metrics": metrics})
        return reply

    def _exchange(
        self,
        action: str,
        asked: Mapping[int, S],
        tell: Callable[[int, S], Coded],
        read: Callable[[int, Message], T],
    ) -> dict[int, T]:
        """Tell each node something, and what is read of those that answer in time."""
        messages = []
        for node, what in asked.items():
            try:
                content = tell(node, what).record()
            except NarrowsError as error:  # a gradient beyond all numbers
                log.warning("node %s: %s", node, error)
                continue
            messages.append(Message(content, node, f"train.{action}", ttl=self._timeout))
        return self._read(self._grid.send_and_receive(messages, timeout=self._timeout), read)

    def _read(self, replies: Iterable[Message], read: Callable[[int, Message], T]) -> dict[int, T]:
        found = {}
        for reply in replies:
            node = reply.metadata.src_node_id
            if reply.has_error():
                log.warning("node %s: %s", node, reply.error.reason)
                continue
            try:
                found[node] = read(node, reply)
            except NarrowsError as error:
                log.warning("node %s: %s: %s", node, type(error).__name__, error)
        return found
