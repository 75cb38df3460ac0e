"""The bundle on disk: a folder of safetensors, one ONNX head and a manifest. No pickle anywhere.

For the server, kernels are stored as int8 and matrices as float16; all else is float32.
The device's part is HEAD_FILES of narrows.codec.manifest.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from narrows.codec.frame import PointCoding
from narrows.codec.manifest import (
    EXIT,
    FILTER,
    INT8_HEAD,
    INT8_LAYERS,
    INTER_TABLES,
    MANIFEST,
    SIGNATURE,
    Manifest,
    Precision,
)
from narrows.codec.tables import CodingTables
from narrows.errors import BundleError, ConfigError
from narrows.models.backbones import Backbone
from narrows.models.cores import eager_core
from narrows.models.head import Head
from narrows.models.onnx_head import build_onnx_head
from narrows.models.quantise import Layers
from narrows.models.tail import CLASSIFICATION, Tail, build_tail, build_unsplit, outputs
from narrows.models.tasks.answer import Answer, answers_of

PROVISIONAL = "0" * 64
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class SplitNetwork:
    """What a training run ends with, in memory."""

    head: Head
    points: list[PointCoding]  # finest first
    tail: Tail
    unsplit: Backbone


def write_bundle(bundle: Path, network: SplitNetwork, about: dict[str, Any]) -> Manifest:
    """Write every file and the manifest; `about`: the fields that files do not tell."""
    bundle.mkdir(parents=True, exist_ok=True)
    layers, tensors = network.head.layers(), network.head.tensors()
    save_file(tensors, bundle / "head.safetensors")
    model = build_onnx_head(layers, {k: v.numpy() for k, v in tensors.items()})
    (bundle / "head.onnx").write_bytes(model.SerializeToString())
    save_arrays(_point_arrays(network.points), bundle / "tables.safetensors")
    save_file(_compact(network.tail), bundle / "tail.safetensors")
    save_file(_compact(network.unsplit), bundle / "unsplit.safetensors")
    names = (
        "head.onnx",
        "head.safetensors",
        "tables.safetensors",
        "tail.safetensors",
        "unsplit.safetensors",
    )
    files = {name: _entry(bundle / name) for name in names}
    return write_manifest(bundle, about | {"head": {"layers": layers}, "files": files})


def write_manifest(bundle: Path, fields: dict[str, Any]) -> Manifest:
    """Check the fields, seal them with their digest and write them. Raises BundleError."""
    manifest = Manifest.sealed(fields)
    (bundle / MANIFEST).write_text(json.dumps(manifest.as_dict(), indent=1) + "\n")
    return manifest


def stamp(bundle: Path, figures: dict[str, Any], measured_on: str) -> Manifest:
    """Write measured figures, as `narrows evaluate --json` gives them, into the manifest."""
    points = [
        {"id": p["id"], "packet_bytes": round(p["packet_bytes"], 1)}
        | _stamped(p.get("accuracy"), p.get("scores", {}), "accuracy", "scores")
        for p in figures["points"]
    ]
    unsplit = (figures.get("unsplit_accuracy"), figures.get("unsplit_scores", {}))
    update = {"operating_points": points, "measured_on": measured_on}
    return _rewrite(bundle, update | _stamped(*unsplit, "unsplit_accuracy", "unsplit_scores"))


def _stamped(
    accuracy: float | None, scores: dict[str, float], first: str, others: str
) -> dict[str, Any]:
    """Scores by task as the manifest has them: the classification's has a field of its own."""
    scores = dict(scores)
    return {first: scores.pop(CLASSIFICATION, accuracy), others: scores}


def add_int8_head(
    bundle: Path, layers: Layers, tensors: dict[str, NDArray], calibration: dict[str, Any]
) -> Manifest:
    """Put an int8 head beside the bundle's own; `calibration` says on what it was calibrated."""
    manifest = Manifest.load(bundle)
    save_arrays(tensors, bundle / INT8_HEAD)
    return _rewrite(
        bundle,
        {
            "head": manifest.head | {INT8_LAYERS: layers},
            "files": manifest.as_dict()["files"] | {INT8_HEAD: _entry(bundle / INT8_HEAD)},
            "provenance": manifest.provenance | {"int8_calibration": calibration},
        },
    )


def add_tail_scores(
    bundle: Path, points: Sequence[dict[Precision, dict[str, float]]], measured: dict[str, Any]
) -> Manifest:
    """Write every point's scores by the tail's precision; `measured` says on what, and where."""
    manifest = Manifest.load(bundle)
    rows = manifest.as_dict()["operating_points"]
    return _rewrite(
        bundle,
        {
            "operating_points": [
                row | {"tail_scores": scores} for row, scores in zip(rows, points, strict=True)
            ],
            "provenance": manifest.provenance | {"tail_scores": measured},
        },
    )


def add_inter_tables(
    bundle: Path, points: Sequence[CodingTables], counted: dict[str, Any]
) -> Manifest:
    """Put tables for videos beside the bundle's own; `counted` says on what they were counted."""
    arrays: dict[str, NDArray] = {}
    for index, tables in enumerate(points):
        arrays |= tables.to_arrays(f"p{index}.")
    save_arrays(arrays, bundle / INTER_TABLES)
    manifest = Manifest.load(bundle)
    return _rewrite(
        bundle,
        {
            "files": manifest.as_dict()["files"] | {INTER_TABLES: _entry(bundle / INTER_TABLES)},
            "provenance": manifest.provenance | {"inter_tables": counted},
        },
    )


def add_filter(bundle: Path, arrays: dict[str, NDArray], measured: dict[str, Any]) -> Manifest:
    """Put a filter for empty frames into the bundle; `measured`: what it misses and drops."""
    save_arrays(arrays, bundle / FILTER)
    manifest = Manifest.load(bundle)
    files = manifest.as_dict()["files"] | {FILTER: _entry(bundle / FILTER)}
    return _rewrite(
        bundle, {"files": files, "provenance": manifest.provenance | {"filter": measured}}
    )


def add_exit(bundle: Path, arrays: dict[str, NDArray], measured: dict[str, Any]) -> Manifest:
    """Put the device's own answer into the bundle; `measured`: its accuracy, and pictures'."""
    save_arrays(arrays, bundle / EXIT)
    manifest = Manifest.load(bundle)
    files = manifest.as_dict()["files"] | {EXIT: _entry(bundle / EXIT)}
    return _rewrite(
        bundle, {"files": files, "provenance": manifest.provenance | {"exit": measured}}
    )


def _rewrite(bundle: Path, update: dict[str, Any]) -> Manifest:
    """Change fields of the manifest; its signature, being over the old one, goes."""
    (bundle / SIGNATURE).unlink(missing_ok=True)
    return write_manifest(bundle, Manifest.load(bundle).as_dict() | update)


def _entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _point_arrays(points: list[PointCoding]) -> dict[str, NDArray]:
    arrays = {
        "gain": np.stack([p.gain for p in points]),
        "inverse_gain": np.stack([p.inverse_gain for p in points]),
        "median": np.stack([p.median for p in points]),
    }
    for index, point in enumerate(points):
        arrays |= point.tables.to_arrays(f"p{index}.")
    return arrays


def _compact(module: nn.Module) -> dict[str, Tensor]:
    """Tensors for a file: kernels as int8 with a scale for each output, matrices as float16.

    Networks compute in float32 all the same: only the file, and the time to fetch it, shrinks.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 4:
            scale = tensor.flatten(1).abs().amax(1).clamp_min(1e-12).float() / 127
            steps = tensor / scale[:, None, None, None]
            tensors[name] = steps.round().to(torch.int8).contiguous()
            tensors[f"{name}.scale"] = scale
        elif not name.endswith("num_batches_tracked"):
            tensors[name] = (tensor.half() if tensor.ndim > 1 else tensor.float()).contiguous()
    return tensors


def _expanded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse, all float32."""
    scales = {name for name in tensors if name.endswith(".scale")}
    return {
        name: tensor.float() * tensors[f"{name}.scale"][:, None, None, None]
        if f"{name}.scale" in scales
        else tensor.float()
        for name, tensor in tensors.items()
        if name not in scales
    }


def _restore(module: nn.Module, path: Path) -> nn.Module:
    """Load compact weights. Raises BundleError when a name or shape does not fit."""
    try:
        missing, unexpected = module.load_state_dict(_expanded(load_file(path)), strict=False)
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise BundleError(f"{path}: does not fit the manifest's architecture: {error}") from None
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise BundleError(f"{path}: lacks {missing[:3]} and has unknown {unexpected[:3]}")
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def load_weights(bundle: Path, part: str) -> dict[str, Tensor]:
    """Tensors of its head, tables, tail or unsplit, float32, by name. Raises BundleError."""
    name = f"{part}.safetensors"
    Manifest.load(bundle).verify_files(bundle, (name,))
    try:
        return _expanded(load_file(bundle / name))
    except (OSError, ValueError) as error:
        raise BundleError(f"{bundle}: no {part}: {error}") from None


def _fused(module: M) -> M:
    """Fold every batch norm into the convolution before it: the same function, a tenth faster."""
    for name, child in module.named_children():
        _fused(child)
        if isinstance(child, nn.Sequential):
            setattr(module, name, _chain_fused(child))
    return module.to(memory_format=torch.channels_last)


def _chain_fused(chain: nn.Sequential) -> nn.Sequential:
    parts: list[nn.Module] = []
    for part in chain:
        if isinstance(part, nn.BatchNorm2d) and parts and isinstance(parts[-1], nn.Conv2d):
            parts[-1] = fuse_conv_bn_eval(parts[-1], part)
        else:
            parts.append(part)
    return nn.Sequential(*parts)


class TailRunner:
    """The server's networks. Safe to call from several threads; torch releases the GIL."""

    def __init__(self, unsplit: Backbone, tail: Tail | None = None, device: str = "cpu"):
        """Take networks with trained weights; both are fused for inference in place, and moved.

        `core` runs the tail up to its tasks' heads: in float32, layer by layer, until another is
        put in its place, before the first frame.
        """
        self.device = torch.device(device)
        self.unsplit = _fused(unsplit.eval()).to(self.device)
        self.mean = torch.tensor(unsplit.mean, device=self.device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(unsplit.std, device=self.device).view(1, 3, 1, 1) * 255
        if tail is not None:
            self.tail = _fused(tail.eval()).to(self.device)
            self.core = eager_core(self.tail)

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest, device: str = "cpu") -> "TailRunner":
        """Read the server's files. Raises BundleError when they do not fit the manifest."""
        config = manifest.tail
        try:
            tail = build_tail(config)
            unsplit = build_unsplit(config)
        except (ConfigError, KeyError) as error:
            raise BundleError(f"{bundle}: the manifest's tail cannot be built: {error}") from None
        _restore(tail, bundle / "tail.safetensors")
        _restore(unsplit, bundle / "unsplit.safetensors")
        return cls(unsplit, tail, device)

    def run(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Latents (batch, channels, h, w), dequantised -> probabilities (batch, labels)."""
        return self._probabilities(self.answers(latents, [(0, 0)] * len(latents)))

    def run_unsplit(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB pictures uint8 (batch, height, width, 3) -> probabilities (batch, labels)."""
        return self._probabilities(self.unsplit_answers(images, [(0, 0)] * len(images)))

    @staticmethod
    def _probabilities(answers: Sequence[Answer]) -> NDArray[np.float32]:
        return np.stack([a.probabilities for a in answers if a.probabilities is not None])

    @torch.inference_mode()
    def answers(
        self,
        latents: NDArray[np.float32] | Tensor,
        sizes: Sequence[tuple[int, int]],
        tasks: Collection[str] = (CLASSIFICATION,),
    ) -> list[Answer]:
        """Latents (batch, channels, h, w), dequantised -> the answers of the tasks asked for.

        latents: float32, on the host or, as a tensor, where the networks are.
        sizes: (height, width) of the pictures without padding, frame by frame.
        """
        features, *shared, logits = self.core(self._placed(latents))
        padded = (features.shape[2] * self.tail.stride, features.shape[3] * self.tail.stride)
        heads = self.tail.tasks
        found = {} if heads is None else heads([m.float() for m in shared], padded, tasks)
        return answers_of(logits if CLASSIFICATION in tasks else None, found, padded, sizes)

    @torch.inference_mode()
    def unsplit_answers(
        self,
        images: NDArray[np.uint8],
        sizes: Sequence[tuple[int, int]],
        tasks: Collection[str] = (CLASSIFICATION,),
    ) -> list[Answer]:
        """RGB pictures uint8 (batch, height, width, 3), padded -> answers, as above."""
        pixels = self._placed(images).permute(0, 3, 1, 2).float()
        x = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return answers_of(*outputs(self.unsplit, self.unsplit.front(x), tasks), sizes)

    def _placed(self, values: NDArray | Tensor) -> Tensor:
        """Where the networks are; from the host through pinned memory, so that nobody waits."""
        tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
        if self.device.type == "cuda" and tensor.device.type == "cpu":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def load_tail(bundle: Path, device: str = "cpu") -> TailRunner:
    """Check the server's files against the manifest and load them. Raises BundleError."""
    manifest = Manifest.load(bundle)
    manifest.verify_files(bundle, ("tail.safetensors", "unsplit.safetensors"))
    return TailRunner.load(bundle, manifest, device)


def latent_spec(channels: int, stride: int, side: int, max_aspect: float) -> dict[str, int]:
    """The largest latent a picture of `side` and `max_aspect` gives, either way up."""
    longest = -(-int(side * max_aspect) // stride) + 4  # 2x2 kernels, padded, add a row each
    return {"channels": channels, "max_height": longest, "max_width": longest}
