"""Where the unsplit network of a multi-task run comes from: new, a bundle's, or pretrained."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.images.annotations import TaskKind
from narrows.models.backbones import Backbone
from narrows.models.bundle import load_weights
from narrows.models.tail import build_unsplit
from narrows.training.recipe import Recipe

LabelsOf = dict[TaskKind, tuple[str, ...]]


def new_network(recipe: Recipe, labels_of: LabelsOf, begin: Path | None) -> Backbone:
    """The recipe's network for the photographs' classes, to be trained.

    `begin`: a bundle of which it takes what fits, all but heads for other classes.

    Raises:
        ConfigError: `begin` has another backbone.
        BundleError: it does not hold together.
    """
    network = _build(recipe.backbone, recipe, labels_of)
    if begin is None:
        return network
    theirs = Manifest.load(begin).tail["backbone"]
    if theirs != recipe.backbone:
        raise ConfigError(f"--begin {begin}: a {theirs}: expected the recipe's {recipe.backbone}")
    tensors, own = load_weights(begin, "unsplit"), network.state_dict()
    fitting = {k: t for k, t in tensors.items() if k in own and own[k].shape == t.shape}
    network.load_state_dict(fitting, strict=False)
    return network


def network_of_bundle(bundle: Path, labels_of: LabelsOf, stride: int) -> tuple[Backbone, str]:
    """A bundle's unsplit network with the heads for these tasks, and its backbone's name.

    Raises:
        ConfigError: it lacks one of the tasks, has other classes, or another cut.
        BundleError: it does not hold together.
    """
    manifest = Manifest.load(bundle)
    for kind, names in labels_of.items():
        if manifest.labels_of.get(kind) != names:
            raise ConfigError(f"--unsplit {bundle}: its classes of {kind} are not the photographs'")
    if manifest.tail["stride"] != stride:
        raise ConfigError(f"--unsplit {bundle}: cut at 1/{manifest.tail['stride']}, not 1/{stride}")
    heads = {k: head for k, head in manifest.tail.get("tasks", {}).items() if k in labels_of}
    network = build_unsplit(manifest.tail | {"tasks": heads})
    network.load_state_dict(_held(network, load_weights(bundle, "unsplit")), strict=False)
    return network.requires_grad_(False).eval(), str(manifest.tail["backbone"])


def pretrained_network(name: str, weights: Path, recipe: Recipe) -> tuple[Backbone, LabelsOf]:
    """A network whose weights someone else trained, with the recipe's heads, and its classes.

    weights: a safetensors file with our names, and in its metadata `labels`: a JSON object of task
    to class names.

    Raises:
        ConfigError: no such file, no labels in it, or weights that do not fit.
    """
    try:
        with safe_open(weights, "pt") as file:
            told = json.loads((file.metadata() or {}).get("labels", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigError(f"--teacher-weights {weights}: {error}") from None
    labels_of: LabelsOf = {kind: tuple(names) for kind, names in told.items()}
    if not labels_of:
        raise ConfigError(f"--teacher-weights {weights}: its metadata has no `labels` by task")
    network = _build(name, recipe, labels_of)
    asked = {k for k in network.state_dict() if not k.endswith("tracked")}
    if "classification" not in labels_of:
        asked -= {k for k in asked if k.startswith("rest.1.")}
    held = _held(network, tensors)
    if asked != set(held) or len(held) != len(tensors):
        raise ConfigError(
            f"--teacher-weights {weights}: {len(held)} of {len(asked)} tensors of a {name} with "
            f"{', '.join(recipe.tasks) or 'no'} heads fit, and it has {len(tensors)}"
        )
    network.load_state_dict(held, strict=False)
    return network.requires_grad_(False).eval(), labels_of


def _build(backbone: str, recipe: Recipe, labels_of: LabelsOf) -> Backbone:
    others: dict[str, tuple[str, ...]] = {k: v for k, v in labels_of.items() if k in recipe.tasks}
    heads = {kind: head for kind, head in recipe.heads(others).items() if kind in others}
    labels = len(labels_of.get("classification", ()))
    return build_unsplit(
        {"backbone": backbone, "labels": labels, "stride": recipe.stride, "tasks": heads}
    )


def _held(network: Backbone, tensors: Mapping[str, Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that fit the network's."""
    own = network.state_dict()
    return {k: t for k, t in tensors.items() if k in own and own[k].shape == t.shape}
