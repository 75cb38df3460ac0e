"""What a device remembers between messages, in Flower's `context.state`.

The head is frozen, so it sees every picture once: its coded features and their pooled form stay,
and so do the outputs that the body gave for them.
"""

from dataclasses import dataclass

import msgspec
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context
from torch import Tensor

from narrows.federated.prompt.messages import RECORD, Plan
from narrows.federated.prompt.network import NAMES, Learned

CODED = f"{RECORD}.coded"
TENSORS = ("pooled", "outputs", "seen", "chosen")


@dataclass(eq=False)
class Memory:
    """Of n pictures.

    strings: n, under `coding`; pooled: (n, d); outputs: (n, width), of those `seen`: bool (n,);
    chosen: int64 (m,), none between rounds; learned: this round's, as far as it has come
    """

    coding: bytes
    strings: list[bytes]
    pooled: Tensor
    outputs: Tensor
    seen: Tensor
    chosen: Tensor
    learned: Learned
    plan: Plan

    @classmethod
    def of(cls, context: Context) -> "Memory | None":
        """What an earlier message left."""
        arrays = context.state.array_records.get(RECORD)
        config = context.state.config_records.get(CODED)
        if arrays is None or config is None:
            return None
        tensors = {name: torch.from_numpy(array.numpy().copy()) for name, array in arrays.items()}
        coding, strings, plan = config["coding"], config["strings"], config["plan"]
        return cls(
            coding,  # type: ignore[arg-type]
            strings,  # type: ignore[arg-type]
            tensors["pooled"],
            tensors["outputs"],
            tensors["seen"],
            tensors["chosen"],
            Learned(tensors["prompt"], tensors["weight"], tensors["bias"]),
            msgspec.msgpack.decode(plan, type=Plan),  # type: ignore[arg-type]
        )

    def keep(self, context: Context) -> None:
        tensors = {name: getattr(self, name) for name in TENSORS}
        tensors |= {name: getattr(self.learned, name) for name in NAMES}
        arrays = {name: Array(tensor.numpy()) for name, tensor in tensors.items()}
        context.state[RECORD] = ArrayRecord(arrays)
        context.state[CODED] = ConfigRecord(
            {"coding": self.coding, "strings": self.strings, "plan": self.plan.encode()}
        )
