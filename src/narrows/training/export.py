"""From a trained network to a bundle; its figures are measured afterwards."""

import copy
from pathlib import Path
from typing import Any

import torch

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.images.preprocess import pad_to_stride
from narrows.models.bottlenecks.hyperprior import HyperBottleneck
from narrows.models.bottlenecks.rate import RatedBottleneck
from narrows.models.bundle import SplitNetwork, latent_spec, write_bundle
from narrows.training.recipe import Recipe
from narrows.training.run import Started
from narrows.training.split import SplitModel

CALIBRATION = 1000  # training photographs from which the tables are counted


def export(
    bundle: Path,
    name: str,
    model: SplitModel,
    started: Started,
    recipe: Recipe,
    provenance: dict[str, Any],
) -> Manifest:
    """Write `bundle` with figures still zero; its tables are counted at the network's own size.

    Raises:
        ConfigError: the recipe's coding has no tables, so no bundle can hold it.
    """
    bottleneck = model.bottleneck
    if not isinstance(bottleneck, RatedBottleneck):
        raise ConfigError(
            f"recipe {recipe.name!r} is coded by {recipe.coding.kind!r}, which packets "
            "have no form for: `narrows bench rd` measures it, a bundle holds `rated` ones"
        )
    calibrate(model, started)
    unsplit = started.unsplit
    network = SplitNetwork(
        copy.deepcopy(model.head).cpu(), bottleneck.point_codings(),
        copy.deepcopy(model.tail).cpu(), copy.deepcopy(unsplit).cpu(),
    )  # fmt: skip
    about = {
        "name": name,
        "cut": unsplit.cut,
        "input": {
            "short_side": recipe.side,
            "max_aspect": recipe.max_aspect,
            "stride": max(8, model.head.stride),
            "mean": unsplit.mean,
            "std": unsplit.std,
        },
        "latent": latent_spec(
            model.head.channels, model.head.stride, recipe.side, recipe.max_aspect
        ),
        "tail": model.tail_config,
        "operating_points": [{"id": i, "packet_bytes": 0.0} for i in range(bottleneck.points)],
        "measured_on": "not yet measured",
        "labels": started.data.labels,
        "folders": started.data.folders,
        "tasks": started.data.tasks,
        "provenance": provenance,
    }
    return write_bundle(bundle, network, about)


@torch.no_grad()
def calibrate(model: SplitModel, started: Started) -> None:
    """Count every point's symbols on training photographs at the size at which it will be used."""
    bottleneck = model.bottleneck
    assert isinstance(bottleneck, RatedBottleneck | HyperBottleneck)
    device = next(model.parameters()).device
    pictures = started.data.pictures[:: -(-len(started.data) // CALIBRATION)]
    latents = []
    for picture in pictures:
        pixels = torch.from_numpy(pad_to_stride(picture, max(8, model.head.stride)))
        latents.append(model.head(pixels.permute(2, 0, 1)[None].float().to(device)))
    bottleneck.measure(latents)
