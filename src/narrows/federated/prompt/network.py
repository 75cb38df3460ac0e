"""A network cut in three: the device's head and classifier, and between them the server's body.

Head and body are frozen. What is learned is a prompt and the classifier. The prompt is a map added
to the features that enter the body, one for all pictures: what visual prompting adds to pixels
(Bahng et al., arXiv:2203.17274), added where a transformer's prompt tokens would join its patches
(Jia et al., arXiv:2203.12119), as a convolutional network has no tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from flwr.app import Array, ArrayRecord, Message
from torch import Tensor, nn

from narrows.errors import ConfigError
from narrows.models.backbones import Backbone

NAMES = ("prompt", "weight", "bias")
TOGETHER = 32  # pictures that head and body take at a time


class Head(nn.Module):
    """Pixels (n, 3, height, width) in 0..255 -> features (n, channels, h, w)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: Backbone, layers: int):
        super().__init__()
        self.layers = nn.Sequential(*list(backbone.front.children())[:layers])
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("deviation", torch.tensor(backbone.std).view(1, 3, 1, 1) * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = (pixels.float() - self.mean) / self.deviation
        return self.layers(pixels.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


class Body(nn.Module):
    """Features (n, channels, h, w) -> outputs (n, width), which the classifier takes."""

    def __init__(self, backbone: Backbone, layers: int):
        super().__init__()
        self.front = nn.Sequential(*list(backbone.front.children())[layers:])
        self.backbone = backbone

    def forward(self, features: Tensor) -> Tensor:
        maps = self.backbone.rest[0](self.front(features))
        return self.backbone.penultimate(maps)


@dataclass(frozen=True, eq=False)
class Learned:
    """What devices learn and the server averages, float32.

    prompt: (channels, h, w); weight: (labels, width); bias: (labels,)
    """

    prompt: Tensor
    weight: Tensor
    bias: Tensor

    def to_arrays(self) -> ArrayRecord:
        return ArrayRecord({n: Array(getattr(self, n).detach().numpy()) for n in NAMES})

    @classmethod
    def of(cls, message: Message) -> "Learned":
        """A message's arrays. Raises ConfigError for none, several, or others than these."""
        records = list(message.content.array_records.values())
        if len(records) != 1:
            raise ConfigError(f"expected one record of arrays, got {len(records)}")
        return cls.from_arrays(records[0])

    @classmethod
    def from_arrays(cls, arrays: ArrayRecord) -> "Learned":
        """Raises ConfigError for arrays of other names, types or dimensions."""
        found = {name: array.numpy() for name, array in arrays.items()}
        sizes = {name: values.ndim for name, values in found.items()}
        kinds = {values.dtype for values in found.values()}
        if sizes != dict(zip(NAMES, (3, 2, 1), strict=True)) or kinds != {np.dtype(np.float32)}:
            raise ConfigError(
                f"expected float32 arrays prompt (3 dimensions), weight (2) and bias (1), got "
                f"{ {name: values.shape for name, values in found.items()} }"
            )
        return cls(*(torch.from_numpy(found[name].copy()) for name in NAMES))


@dataclass(frozen=True, eq=False)
class ThreeParts:
    """Where a network is cut; `width`: of what the body gives and the classifier takes."""

    head: Head
    body: Body
    width: int
    labels: int

    def beginning(self, side: int) -> Learned:
        """No prompt and a classifier of zeros, for pictures of side x side pixels."""
        with torch.no_grad():
            features = self.head(torch.zeros(1, 3, side, side))
        return Learned(
            torch.zeros(features.shape[1:]),
            torch.zeros(self.labels, self.width),
            torch.zeros(self.labels),
        )


def cut_in_three(backbone: Backbone, layers: int) -> ThreeParts:
    """A pretrained backbone whose head is the first `layers` layers of its front.

    The fewer, the less a device computes, and the more of the picture its features still show.

    Raises:
        ConfigError: a head of no layers, or of more than the front has.
    """
    has = len(list(backbone.front.children()))
    if not 1 <= layers <= has:
        raise ConfigError(f"a head of {layers} layers: this network's front has 1 to {has}")
    backbone.eval().requires_grad_(False)
    linear = backbone.classifier
    head, body = Head(backbone, layers), Body(backbone, layers)
    return ThreeParts(head, body, linear.in_features, linear.out_features)


@torch.no_grad()
def outputs(body: nn.Module, features: Iterable[Tensor], prompt: Tensor) -> Tensor:
    """Features in parts (m, channels, h, w), and a prompt -> the body's outputs (n, width)."""
    return torch.cat([body(part + prompt) for part in features])


def prompt_gradient(
    body: nn.Module, features: Iterable[Tensor], prompt: Tensor, gradients: Tensor
) -> Tensor:
    """The loss's gradient to the prompt (channels, h, w), by that to the outputs (n, width)."""
    leaf, start = prompt.clone().requires_grad_(True), 0
    with torch.enable_grad():
        for part in features:
            body(part + leaf).backward(gradients[start : start + len(part)])
            start += len(part)
    assert leaf.grad is not None
    return leaf.grad


@torch.no_grad()
def predict(body: nn.Module, features: Tensor, learned: Learned) -> Tensor:
    """Features (n, channels, h, w) -> logits (n, labels)."""
    x = outputs(body, features.split(TOGETHER), learned.prompt)
    return F.linear(x, learned.weight, learned.bias)
