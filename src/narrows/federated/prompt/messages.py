"""What server and devices tell each other beside the arrays, as MessagePack in a ConfigRecord.

    train         server: Plan and the arrays      device: Chosen
    train.tail    server: Coded outputs            device: Coded gradients to them
    train.prompt  server: Coded prompt gradient    device: the arrays, and metrics

No message of a device has a field for labels.
"""

from typing import TypeVar

import msgspec
from flwr.app import ConfigRecord, Message, RecordDict

from narrows.errors import PacketError

RECORD = "narrows.prompt"  # of ours in a message, and in a device's state
TAIL, PROMPT = "tail", "prompt"

T = TypeVar("T", bound="Told")


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of ours."""

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls: type[T], message: Message) -> T:
        """Raises PacketError for a message that holds no such thing."""
        record = message.content.config_records.get(RECORD)
        told = None if record is None else record.get("message")
        if not isinstance(told, bytes):
            raise PacketError(f"a message without {RECORD}: expected a {cls.__name__}")
        try:
            return msgspec.msgpack.decode(told, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise PacketError(
                f"no {cls.__name__}: {error}: do server and device run the same version of narrows?"
            ) from None

    def record(self) -> RecordDict:
        return RecordDict({RECORD: ConfigRecord({"message": self.encode()})})


class Terms(Told, frozen=True):
    """How devices train; the same for all."""

    local_epochs: int = 2  # U, without the body
    kept: float = 0.5  # gamma: the share of pictures that goes through the body
    tail_epochs: int = 1  # of the classifier, on the body's outputs
    batch: int = 32
    learning_rate: float = 0.01
    momentum: float = 0.9
    decay: float = 1e-4
    prompt_rate: float = 0.02  # a step's root mean square, in units of the features
    activation_step: float = 0.5  # rounding, in standard deviations
    output_step: float = 0.2
    gradient_step: float = 0.2
    seed: int = 0


class Plan(Told, frozen=True):
    """Server to device: a round, and the places whose activations the server has already."""

    number: int
    terms: Terms
    held: tuple[int, ...]


class Chosen(Told, frozen=True):
    """Device to server: which of its pictures go through the body, and activations not yet held."""

    places: tuple[int, ...]
    coding: bytes
    strings: tuple[bytes, ...]


class Coded(Told, frozen=True):
    """Numbers of a round as bytes: `narrows.federated.prompt.coding`."""

    number: int
    coding: bytes
    string: bytes
