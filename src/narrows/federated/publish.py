"""What rounds end in: a bundle like the one they began from, with what was learnt in its place."""

import copy
import shutil
from pathlib import Path
from typing import Any

from narrows.codec.manifest import INT8_HEAD, INT8_LAYERS, Manifest
from narrows.codec.signature import sign_bundle
from narrows.federated.network import Network
from narrows.models.bundle import SplitNetwork, add_int8_head, write_bundle
from narrows.models.quantise import requantise_head

# What was counted or fitted on the latents of the head before is not the new one's.
NOT_ITS_OWN = ("inter_tables", "filter", "tail_scores", "int8_calibration")


def publish(
    network: Network,
    out: Path,
    name: str,
    figures: dict[str, Any],
    measured_on: str,
    rounds: dict[str, Any],
    key: Path | None,
) -> Manifest:
    """Write and, with a key, sign it; `out` appears whole or not at all.

    figures: `{"points": [{"packet_bytes", "accuracy"}], "unsplit_accuracy"}` as devices measured.
    rounds: how it came about; stands in the provenance, beside the old bundle's own.

    Raises:
        ConfigError: `key` is there and no Ed25519 key.
    """
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model, old = network.model, network.manifest
    split = SplitNetwork(
        copy.deepcopy(model.head), network.bottleneck.point_codings(),
        copy.deepcopy(model.tail), copy.deepcopy(network.unsplit),
    )  # fmt: skip
    fields = old.as_dict()
    kept = {k: v for k, v in old.provenance.items() if k not in NOT_ITS_OWN}
    about = {key: fields[key] for key in ("cut", "input", "latent", "tail", "labels", "folders")}
    write_bundle(
        partial,
        split,
        about
        | {"name": name or old.name, "tasks": fields.get("tasks", {}), "measured_on": measured_on}
        | {
            "operating_points": [
                {"id": i, "packet_bytes": round(p["packet_bytes"], 1), "accuracy": p["accuracy"]}
                for i, p in enumerate(figures["points"])
            ],
            "unsplit_accuracy": figures["unsplit_accuracy"],
            "provenance": kept | {"rounds": [*old.provenance.get("rounds", []), rounds]},
        },
    )
    if (before := old.head.get(INT8_LAYERS)) is not None:
        exact = {name: tensor.numpy() for name, tensor in split.head.tensors().items()}
        layers, tensors = requantise_head(split.head.layers(), exact, before)
        add_int8_head(partial, layers, tensors, {"ranges": f"{INT8_HEAD} of {old.digest[:12]}"})
    if key is not None:
        sign_bundle(partial, key)
    partial.rename(out)
    return Manifest.load(out)
