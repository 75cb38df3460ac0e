"""A bundle as a network that learns: what of it travels every round, and what stays where it is."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.manifest import INT8_LAYERS, Manifest
from narrows.errors import BundleError, ConfigError
from narrows.kernels.head import Head
from narrows.models.backbones import Backbone
from narrows.models.bottlenecks.rate import RatedBottleneck
from narrows.models.bundle import load_weights
from narrows.models.quantise import requantise_head
from narrows.models.tail import build_unsplit
from narrows.training.recipe import Recipe, SplitPhase, first_error
from narrows.training.split import SplitModel, freeze, learned

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Network:
    """Head, bottleneck and tail as a bundle has them, and the unsplit network beside them."""

    bundle: Path
    manifest: Manifest
    recipe: Recipe  # of the bundle, from its provenance
    model: SplitModel
    teacher: "Teacher"  # the same as it came
    unsplit: Backbone
    phase: SplitPhase  # what learns
    begun: Arrays  # what learns, as the bundle has it

    @classmethod
    def load(cls, bundle: Path, phase: SplitPhase) -> "Network":
        """Read a bundle's networks; `phase` says which parts learn.

        Raises:
            BundleError: files that do not fit the manifest, or no recipe in its provenance.
            ConfigError: a batch that cannot be shared out among its operating points.
        """
        manifest = Manifest.load(bundle)
        manifest.verify_files(bundle)
        recipe = _recipe_of(bundle, manifest)
        if phase.batch % recipe.points:
            raise ConfigError(
                f"batch {phase.batch}: not a multiple of the bundle's {recipe.points} points"
            )
        unsplit = build_unsplit(manifest.tail)
        unsplit.load_state_dict(load_weights(bundle, "unsplit"), strict=False)
        unsplit.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        model = SplitModel(recipe, unsplit, manifest.tail["backbone"], recipe.coding.rates)
        model.begin(bundle)
        model.tail.load_state_dict(load_weights(bundle, "tail"), strict=False)
        rated = _rated(bundle, model)
        rated.recall([point.tables for point in load_frame_codec(bundle, manifest).points])
        freeze(model, phase, freeze_norms=True)  # one device's batches are no fleet's statistics
        model.to(memory_format=torch.channels_last)
        begun = {name: tensor.numpy().copy() for name, tensor in _learned(model, phase).items()}
        return cls(bundle, manifest, recipe, model, Teacher(model), unsplit, phase, begun)

    @property
    def bottleneck(self) -> RatedBottleneck:
        return _rated(self.bundle, self.model)

    def arrays(self) -> Arrays:
        """What learns, less what the bundle has, which every device holds: this is what travels.

        Symbols' distributions are none of it: each device has its own.
        """
        found = _learned(self.model, self.phase)
        return {name: tensor.numpy() - self.begun[name] for name, tensor in found.items()}

    def set(self, arrays: Arrays) -> None:
        """Take what came. Raises ConfigError unless names and shapes are those of `arrays`."""
        came = {name: values.shape for name, values in arrays.items()}
        if came != (wanted := {name: values.shape for name, values in self.begun.items()}):
            different = sorted(set(came.items()) ^ set(wanted.items()))
            raise ConfigError(
                f"{self.bundle}: arrays that do not fit, such as {different[0]}: server and "
                "devices need the same bundle and recipe"
            )
        with torch.no_grad():
            for name, tensor in _learned(self.model, self.phase).items():
                tensor.copy_(torch.tensor(self.begun[name] + arrays[name]))

    def distributions(self) -> NDArray[np.float32]:
        """Of every point's and channel's symbols: (points, channels, symbols)."""
        return self.bottleneck.histogram.numpy(force=True).copy()

    def set_distributions(self, means: NDArray[np.float32]) -> None:
        """Take devices' mean; what quantising made of a zero is made one. Raises ConfigError."""
        ours = self.bottleneck.histogram
        if means.shape != ours.shape or not np.isfinite(means).all():
            raise ConfigError(
                f"distributions {means.shape}: expected finite ones, {tuple(ours.shape)}"
            )
        mass = torch.from_numpy(means).float().clamp_min(0)
        ours.copy_(mass / mass.sum(2, keepdim=True).clamp_min(1e-12))

    def device_head(self) -> Head:
        """The head as devices run it: in int8, by the bundle's ranges, where the bundle is so."""
        layers, tensors = self.model.head.layers(), self.model.head.tensors()
        exact = {name: tensor.numpy() for name, tensor in tensors.items()}
        if (before := self.manifest.head.get(INT8_LAYERS)) is None:
            return Head(layers, exact)
        return Head(*requantise_head(layers, exact, before))

    def codec(self) -> FrameCodec:
        """What codes packets with the network as it is."""
        latent = self.manifest.latent
        return FrameCodec(
            self.manifest.digest_prefix,
            self.bottleneck.point_codings(),
            (latent.max_height, latent.max_width),
        )


class Teacher:
    """A bundle's split network as it came, at its finest point: what devices learn from.

    It tells what a crop shows without a label, and knows no less than its pupil did; the unsplit
    network may, where photographs are not like those that it was trained on.
    """

    def __init__(self, model: SplitModel) -> None:
        """`model`: with a bottleneck of rates, whose first is the finest."""
        self._head, self._tail = copy.deepcopy(model.head), copy.deepcopy(model.tail)
        self._steps = copy.deepcopy(model.bottleneck)
        for part in (self._head, self._tail, self._steps):
            part.eval().requires_grad_(False)

    @torch.no_grad()
    def answer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (batch, 3, h, w) in 0..255 -> logits (batch, labels), maps (batch, c, h, w)."""
        body, classify = self._tail.rest
        with torch.autocast(pixels.device.type, torch.bfloat16):
            latent = self._head(pixels.contiguous(memory_format=torch.channels_last))
        gain = self._steps.log_gain[0].exp()[:, None, None]
        received = (latent.float() * gain).round() * self._steps.log_inverse[0].exp()[:, None, None]
        with torch.autocast(pixels.device.type, torch.bfloat16):
            maps = body(self._tail.decoder(received))
        return classify(maps.float()), maps.float()


def _learned(model: SplitModel, phase: SplitPhase) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor.detach()
        for part, module in learned(model, phase).items()
        for name, tensor in module.state_dict().items()
        if name != "histogram" and not name.endswith("num_batches_tracked")
    }


def _recipe_of(bundle: Path, manifest: Manifest) -> Recipe:
    try:
        return Recipe.model_validate(manifest.provenance["recipe"])
    except (KeyError, ValidationError) as error:
        why = first_error(error) if isinstance(error, ValidationError) else "none"
        raise BundleError(
            f"{bundle}: its provenance has no recipe that this build can train by ({why}): "
            "use one that `narrows train` made"
        ) from None


def _rated(bundle: Path, model: SplitModel) -> RatedBottleneck:
    if not isinstance(model.bottleneck, RatedBottleneck):
        raise BundleError(f"{bundle}: not coded by rates and tables")
    return model.bottleneck
