"""The device's side in Flower: a client app that answers a round's three messages.

    device = PromptDevice(parts.head, examples_of)      # examples_of(context) -> Examples
    app = ClientApp()
    device.answer(app)

What a device must keep is in `context.state`. A message that cannot be read, or comes out of turn,
is an error by name, which Flower carries to the server; the next round begins afresh.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from narrows.errors import ConfigError, SessionError
from narrows.federated.prompt.coding import Coding, code, decoded
from narrows.federated.prompt.local import (
    choose,
    el2n,
    output_gradient,
    pooled,
    stand_ins,
    step_prompt,
    train_classifier,
)
from narrows.federated.prompt.memory import Memory
from narrows.federated.prompt.messages import PROMPT, TAIL, Chosen, Coded, Plan
from narrows.federated.prompt.network import TOGETHER, Learned


@dataclass(frozen=True, eq=False)
class Examples:
    """A device's pictures, uint8 (n, 3, height, width), all of one size, and labels int64 (n,)."""

    pixels: Tensor
    labels: Tensor


class PromptDevice:
    """Answers `train`, `train.tail` and `train.prompt`. One for an app; it keeps nothing itself."""

    def __init__(self, head: nn.Module, examples_of: Callable[[Context], Examples]) -> None:
        """`examples_of` is asked at every message, and must give the same each time."""
        self._head, self._examples_of = head.eval().requires_grad_(False), examples_of

    def answer(self, app: ClientApp) -> None:
        """Let an app answer a round's messages."""
        app.train()(self._local)
        app.train(TAIL)(self._tail)
        app.train(PROMPT)(self._prompt)

    def _local(self, message: Message, context: Context) -> Message:
        """Phases 1 and 2: local epochs, then the choice, and its activations.

        Raises:
            PacketError: no plan.
            ConfigError: arrays that do not fit this device's head or labels, or no pictures.
        """
        plan = Plan.decode(message)
        learned, examples = Learned.of(message), self._examples_of(context)
        labels = examples.labels
        if not len(labels) or int(labels.max()) >= len(learned.bias):
            raise ConfigError(
                f"{len(labels)} pictures, and {len(learned.bias)} labels that are learned: "
                "expected some pictures, with labels among those"
            )
        memory = Memory.of(context)
        if memory is None or len(memory.strings) != len(labels):
            memory = self._first_look(examples, learned, plan)
        memory.plan = Plan(plan.number, plan.terms, ())
        _train_without_body(memory, learned, labels, _chance(plan, context))
        memory.keep(context)
        places = tuple(memory.chosen.tolist())
        lacking = set(places) - set(plan.held)
        strings = tuple(memory.strings[place] for place in places if place in lacking)
        return Message(Chosen(places, memory.coding, strings).record(), reply_to=message)

    def _tail(self, message: Message, context: Context) -> Message:
        """Phase 3, its first half: outputs in, the classifier's epochs, gradients out.

        Raises:
            PacketError: bytes that are not the chosen pictures' outputs.
            SessionError: out of turn.
        """
        memory, told = _in_turn(message, context)
        shape = (len(memory.chosen), memory.outputs.shape[1], 1)
        x = torch.from_numpy(decoded((told.coding, told.string), shape)[:, :, 0])
        labels = self._examples_of(context).labels[memory.chosen]
        memory.outputs[memory.chosen], memory.seen[memory.chosen] = x, True
        terms, chance = memory.plan.terms, _chance(memory.plan, context, TAIL)
        memory.learned = train_classifier(
            memory.learned, x, labels, terms.tail_epochs, terms, chance
        )
        gradient = output_gradient(memory.learned, x, labels)
        memory.keep(context)
        coded = Coded(told.number, *code(gradient[:, :, None].numpy(), terms.gradient_step))
        return Message(coded.record(), reply_to=message)

    def _prompt(self, message: Message, context: Context) -> Message:
        """Phase 3, its second half: the gradient to the prompt in, what was learned out.

        Raises:
            PacketError: bytes that are no gradient of the prompt.
            SessionError: out of turn.
        """
        memory, told = _in_turn(message, context)
        shape = memory.learned.prompt.shape
        flat = decoded((told.coding, told.string), (1, shape[0], shape[1] * shape[2]))
        gradient = torch.from_numpy(flat).reshape(shape)
        learned = step_prompt(memory.learned, gradient, memory.plan.terms.prompt_rate)
        memory.chosen = memory.chosen[:0]
        memory.keep(context)
        metrics = MetricRecord({"num-examples": len(memory.strings)})
        content = RecordDict({"arrays": learned.to_arrays(), "metrics": metrics})
        return Message(content, reply_to=message)

    @torch.no_grad()
    def _first_look(self, examples: Examples, learned: Learned, plan: Plan) -> Memory:
        """Run the head, once for all rounds."""
        features = torch.cat([self._head(part) for part in examples.pixels.split(TOGETHER)])
        if features.shape[1:] != learned.prompt.shape:
            raise ConfigError(
                f"a prompt of {tuple(learned.prompt.shape)} for features of "
                f"{tuple(features.shape[1:])}: server and device must cut the same network at the "
                "same place, for pictures of the same size"
            )
        values, n = features.flatten(2).numpy(), len(features)
        coding = Coding.fit(values, plan.terms.activation_step)
        return Memory(
            coding.to_bytes(),
            [coding.encode(values[i : i + 1]) for i in range(n)],
            pooled(features),
            torch.zeros(n, learned.weight.shape[1]),
            torch.zeros(n, dtype=torch.bool),
            torch.zeros(0, dtype=torch.int64),
            learned,
            plan,
        )


def _train_without_body(
    memory: Memory, learned: Learned, labels: Tensor, chance: np.random.Generator
) -> None:
    """Local epochs and the choice, into the memory; by chance while the body is not known."""
    terms = memory.plan.terms
    if bool(memory.seen.any()):
        x = stand_ins(memory.outputs, memory.seen, memory.pooled)
        learned = train_classifier(learned, x, labels, terms.local_epochs, terms, chance)
        scores = el2n(learned, x, labels)
    else:
        scores = torch.from_numpy(chance.random(len(labels)))
    memory.chosen, memory.learned = choose(scores, terms.kept), learned


def _in_turn(message: Message, context: Context) -> tuple[Memory, Coded]:
    """What is remembered of the round that a message belongs to. Raises SessionError."""
    memory, told = Memory.of(context), Coded.decode(message)
    if memory is None or not len(memory.chosen) or memory.plan.number != told.number:
        raise SessionError(
            f"round {told.number} was not begun here: a server must send `train` first"
        )
    return memory, told


def _chance(plan: Plan, context: Context, phase: str = "") -> np.random.Generator:
    """For the order of examples: of each round, device and phase its own."""
    return np.random.default_rng([plan.terms.seed, plan.number, context.node_id, len(phase)])
