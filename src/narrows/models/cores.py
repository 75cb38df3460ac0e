"""The part of a tail that can run in more than one way: eager or compiled, float32 or bfloat16."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narrows.codec.manifest import Precision
from narrows.errors import ConfigError
from narrows.models.backbones.backbone import stage_outputs
from narrows.models.tail import Tail

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class TailCore(nn.Module):
    """Latent (batch, channels, h, w) -> features at the cut, each stage's output, logits.

    No shape depends on a value here, so it can be exported. The tasks' heads follow in float32.
    """

    def __init__(self, tail: Tail):
        super().__init__()
        self.decoder = tail.decoder
        self.body, self.classify = tail.rest

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        features = self.decoder(latent)
        shared = list(stage_outputs(self.body, features))
        return (features, *shared, self.classify(shared[-1]))


@dataclass(frozen=True)
class Way:
    """How a core runs."""

    compiled: bool
    precision: Precision

    def __str__(self) -> str:
        return f"{'compiled' if self.compiled else 'eager'} {self.precision}"


@dataclass(frozen=True, eq=False)
class Core:
    """One way to run a tail's core on its device."""

    way: Way
    run: Callable[[Tensor], Sequence[Tensor]]

    def __call__(self, latent: Tensor) -> list[Tensor]:
        """float32 (batch, channels, h, w) -> as TailCore, in the way's precision."""
        dtype = DTYPES[self.way.precision]
        return list(self.run(latent.to(dtype, memory_format=torch.channels_last)))


def core_module(tail: Tail, precision: Precision) -> TailCore:
    """The module behind an eager core; in float32 it shares the tail's weights."""
    core = TailCore(tail).eval()
    return core if precision == "fp32" else copy.deepcopy(core).to(DTYPES[precision])


def eager_core(tail: Tail, precision: Precision = "fp32") -> Core:
    """The core as torch runs it layer by layer."""
    return Core(Way(False, precision), core_module(tail, precision))


def find_device(asked: str) -> torch.device:
    """`auto`, `cpu` or `cuda` -> the device. Raises ConfigError for cuda where there is none."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: torch finds no GPU: install its CUDA build and a driver, or use cpu"
        )
    found = asked == "cuda" or (asked == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if found else "cpu")
