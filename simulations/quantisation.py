"""`narrows bundle quantise`: an int8 head for a bundle, calibrated and measured on photographs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors.numpy import load_file

from narrows.codec.manifest import Manifest
from narrows.images.labelled import LabelledImages
from narrows.images.preprocess import pad_to_stride, resize_and_crop
from narrows.kernels.head import UnknownLayer
from narrows.models.bundle import add_int8_head, stamp
from narrows.models.quantise import quantise_head
from narrows.simulations.evaluation import evenly
from narrows.simulations.evaluation_report import measured

CALIBRATION = 64  # training photographs, where nobody says another number


def run_quantisation(
    bundle: Path, data: Path, part: str | None, photographs: int, as_json: bool
) -> None:
    """Calibrate on `part`, write the head, measure both heads on photographs kept out, print.

    The manifest's figures become those of the int8 head, which devices take by themselves.

    Raises:
        NarrowsError: the bundle or the photographs cannot be read.
    """
    images, manifest = LabelledImages(data), Manifest.load(bundle)
    calibration = evenly(images.of_part(part or ("train" if "train" in images.parts() else None)),
                         photographs)  # fmt: skip
    kept_out = [e for e in images.of_part(None) if e not in set(calibration)]
    pictures = [
        _picture(images, manifest, entry.name)
        for entry in track(calibration, "reading", console=Console(stderr=True), transient=True)
    ]
    weights = load_file(bundle / "head.safetensors")
    add_int8_head(
        bundle,
        *quantise_head(manifest.head["layers"], weights, pictures),
        {"data": data.name, "photographs": len(pictures)},
    )
    fp32 = measured(bundle, images, kept_out, qualities=(), head="fp32")
    int8 = measured(bundle, images, kept_out, qualities=(), head="int8")
    stamp(bundle, int8, f"{data.name}: {int8['frames']} photographs kept out of training")
    found = {"calibrated_on": len(pictures), "fp32": fp32, "int8": int8}
    print(json.dumps(found)) if as_json else _print(found)


def quantised(
    bundle: Path, manifest: Manifest, pictures: Sequence[NDArray[np.uint8]], origin: str
) -> None:
    """An int8 head calibrated on preprocessed training pictures, where our kernels can run one."""
    chosen = [pad_to_stride(p, manifest.input.stride) for p in evenly(pictures, CALIBRATION)]
    weights = load_file(bundle / "head.safetensors")
    try:
        int8 = quantise_head(manifest.head["layers"], weights, chosen)
    except UnknownLayer:
        return  # ONNX Runtime runs it, in float
    add_int8_head(bundle, *int8, {"data": origin, "photographs": len(chosen)})


def _picture(images: LabelledImages, manifest: Manifest, name: str) -> NDArray[np.uint8]:
    rule = manifest.input
    picture = resize_and_crop(images.image(name), rule.short_side, rule.max_aspect)
    return pad_to_stride(picture, rule.stride)


def _print(found: dict[str, Any]) -> None:
    table = Table("point", "fp32", "int8", "fp32 bytes", "int8 bytes", title="accuracy and packets")
    for exact, integer in zip(found["fp32"]["points"], found["int8"]["points"], strict=True):
        accuracies = (_percent(row["accuracy"]) for row in (exact, integer))
        sizes = (f"{row['packet_bytes']:.0f}" for row in (exact, integer))
        table.add_row(str(exact["id"]), *accuracies, *sizes)
    Console().print(table)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
