"""From a trained network to a bundle; its figures are measured afterwards."""

from pathlib import Path
from typing import Any

from narrows.codec.manifest import Manifest
from narrows.models.bundle import SplitNetwork, latent_spec, write_bundle
from narrows.models.head import PATCH
from narrows.training.recipe import Recipe
from narrows.training.run import Trained
from narrows.training.split import tail_config


def export(
    bundle: Path, name: str, trained: Trained, recipe: Recipe, provenance: dict[str, Any]
) -> Manifest:
    """Write `bundle` with figures still zero."""
    split = trained.split
    network = SplitNetwork(
        split.head, split.bottleneck.point_codings(), split.tail, trained.unsplit
    )
    about = {
        "name": name,
        "cut": trained.unsplit.cut,
        "input": {
            "short_side": recipe.side,
            "max_aspect": recipe.max_aspect,
            "stride": PATCH,
            "mean": recipe.mean,
            "std": recipe.std,
        },
        "latent": latent_spec(recipe.head.channels, recipe.side, recipe.max_aspect),
        "tail": tail_config(recipe, len(trained.labels)),
        "operating_points": [
            {"id": i, "packet_bytes": 0.0, "accuracy": 0.0}
            for i in range(len(recipe.split[0].rates))
        ],
        "unsplit_accuracy": 0.0,
        "measured_on": "not yet measured",
        "labels": trained.labels,
        "folders": trained.folders,
        "provenance": provenance,
    }
    return write_bundle(bundle, network, about)
