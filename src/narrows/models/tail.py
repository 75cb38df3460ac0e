"""The server's half: a decoder in the place of the backbone's front, then the backbone's rest."""

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn

from narrows.models.backbones import Backbone, build_backbone
from narrows.models.backbones.backbone import stage_outputs
from narrows.models.bottlenecks import build_decoder
from narrows.models.tasks import TaskHeads

CLASSIFICATION = "classification"


class Tail(nn.Module):
    """Latent (batch, channels, h, w) -> logits (batch, labels)."""

    def __init__(self, decoder: nn.Sequential, backbone: Backbone):
        super().__init__()
        self.decoder, self.rest = decoder, backbone.rest
        self.tasks, self.stride = backbone.tasks, backbone.stride

    def forward(self, latent: Tensor) -> Tensor:
        return self.rest(self.decoder(latent))


def outputs(
    network: Tail | Backbone, features: Tensor, wanted: Collection[str]
) -> tuple[Tensor | None, dict[str, Any], tuple[int, int]]:
    """Features at the cut -> logits, if wanted, and the other wanted tasks' outputs.

    The body runs once. Also the pictures' (height, width), padding and all.
    """
    body, classify = network.rest
    shared = list(stage_outputs(body, features))
    logits = classify(shared[-1]) if CLASSIFICATION in wanted else None
    size = (features.shape[2] * network.stride, features.shape[3] * network.stride)
    return logits, {} if network.tasks is None else network.tasks(shared, size, wanted), size


def build_unsplit(config: dict[str, Any]) -> Backbone:
    """A randomly initialised network from a manifest's `tail` entry. Raises ConfigError.

    `{"backbone", "labels", "stride", "tasks": {task: {...}}}`; no tasks but classification
    without the last, and a classifier of one output that nobody asks where labels are 0.
    """
    backbone = build_backbone(config["backbone"], max(1, config["labels"]), config["stride"])
    if tasks := config.get("tasks"):
        body = backbone.rest[0]
        assert isinstance(body, nn.Sequential)
        backbone.tasks = TaskHeads(tasks, body, backbone.cut_channels, backbone.stride)
    return backbone


def build_tail(config: dict[str, Any]) -> Tail:
    """A randomly initialised tail: as above, with `{"channels", "decoder": {"kind", ...}}`."""
    backbone = build_unsplit(config)
    decoder = build_decoder(config["decoder"], config["channels"], backbone.cut_channels)
    return Tail(decoder, backbone)
