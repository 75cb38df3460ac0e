"""A small untrained bundle, real in every file: for tests that need a network but no accuracy."""

import shutil
from pathlib import Path

import numpy as np
import torch

from narrows.codec.frame import PointCoding
from narrows.codec.inter import CONTEXTS, tables_of
from narrows.codec.manifest import Manifest
from narrows.codec.tables import CodingTables
from narrows.edge.policy.exit import GRID, ExitHead
from narrows.edge.policy.risk import Calibration
from narrows.models.bottlenecks import build_encoder
from narrows.models.bundle import (
    SplitNetwork,
    add_exit,
    add_int8_head,
    add_inter_tables,
    latent_spec,
    write_bundle,
    write_manifest,
)
from narrows.models.head import Head
from narrows.models.quantise import quantise_head
from narrows.models.tail import build_tail, build_unsplit

SIDE, CHANNELS, LABELS = 32, 6, ("cat", "dog", "bird")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def laplace_pmf(scale: float, reach: int) -> np.ndarray:
    weights = np.exp(-np.abs(np.arange(-reach, reach + 1)) / scale)
    return weights / weights.sum()


def point(gain: float, scale: float) -> PointCoding:
    tables = CodingTables.from_pmfs([laplace_pmf(scale, 12)] * CHANNELS, [-12] * CHANNELS)
    ones = np.ones(CHANNELS, np.float32)
    return PointCoding(tables, gain=ones * gain, inverse_gain=ones / gain, median=ones * 0)


TASKS = {"detection": ("person", "car"), "segmentation": ("background", "road", "sky")}


def write_tiny_scene(path: Path) -> Manifest:
    """The same with boxes and masks beside the class."""
    return write_tiny_bundle(path, "tiny-scene", tasks=TASKS)


def renew(bundle: Path, version: str) -> Manifest:
    """Another version of the same files: its manifest says so."""
    fields = Manifest.load(bundle).as_dict()
    provenance = fields["provenance"] | {"version": version}
    write_manifest(bundle, fields | {"provenance": provenance})
    return Manifest.load(bundle)


def calibrated(bundle: Path, folder: Path) -> Path:
    """A copy that has an answer of its own, of random weights."""
    shutil.copytree(bundle, folder)
    manifest, rng = Manifest.load(folder), np.random.default_rng(0)
    shape = len(manifest.labels), 2 * manifest.latent.channels * GRID**2
    calibration = Calibration(np.zeros(1, np.float32), np.zeros(1, np.bool_))
    weight, bias = rng.normal(size=shape).astype(np.float32), np.zeros(shape[0], np.float32)
    add_exit(folder, ExitHead(weight, bias, 0.0, calibration).to_arrays(), {"accuracy": 0.2})
    return folder


def write_tiny_bundle(
    path: Path, name: str = "tiny", seed: int = 0, tasks: dict[str, tuple[str, ...]] | None = None
) -> Manifest:
    """Three operating points, 32-pixel pictures, MobileNetV3-small behind an 8-wide head."""
    torch.manual_seed(seed)
    tasks = tasks or {}
    config = {
        "backbone": "mobilenet_v3_small",
        "labels": len(LABELS),
        "stride": 8,
        "channels": CHANNELS,
        "decoder": {"kind": "slim"},
        "tasks": {task: {"labels": len(names), "width": 64} for task, names in tasks.items()},
    }
    encoder = {"kind": "patch", "channels": CHANNELS, "width": 8, "hidden": 8, "blocks": 1}
    head = Head(build_encoder(encoder, (MEAN, STD)))
    network = SplitNetwork(
        head,
        [point(8.0, 3.0), point(4.0, 1.5), point(2.0, 0.7)],
        build_tail(config).eval(),
        build_unsplit(config).eval(),
    )
    points = [{"id": i, "packet_bytes": 150.0 - 50 * i, "accuracy": 0.0} for i in range(3)]
    write_bundle(path, network, {
        "name": name, "cut": "features[:4]", "tail": config, "labels": LABELS, "folders": LABELS,
        "tasks": tasks,
        "input": {"short_side": SIDE, "max_aspect": 2.0, "stride": 8, "mean": MEAN, "std": STD},
        "latent": latent_spec(CHANNELS, 8, SIDE, 2.0),
        "operating_points": points, "unsplit_accuracy": 0.0, "measured_on": "nothing",
        "provenance": {"seed": seed},
    })  # fmt: skip
    weights = {name: tensor.numpy() for name, tensor in head.tensors().items()}
    pictures = np.random.default_rng(seed).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    int8 = quantise_head(head.layers(), weights, pictures)
    add_int8_head(path, *int8, {"photographs": len(pictures)})
    still = np.zeros((CHANNELS * CONTEXTS, 33), np.int64)
    still[:, 16] = 1000  # a scene that hardly changes
    tables = tables_of(still, CHANNELS)
    return add_inter_tables(path, [tables] * 3, {"sequences": 0})
