"""`narrows bench inversion`: how much of the picture an attacker gets back from a packet.

The attacker has the bundle (it is no secret), photographs of the same kind and time to train
(narrows.simulations.bench.inversion_attack). What it draws of photographs it has not seen is
measured at half their side, beside what knowing nothing gives (the mean photograph), what files of
as many bytes do, and thumbnails.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.head import load_head
from narrows.errors import ConfigError
from narrows.models.bundle import TailRunner, load_tail
from narrows.simulations.bench.inversion_attack import (
    BATCH,
    Inverter,
    fit,
    invert,
    steps_of,
)
from narrows.simulations.bench.inversion_baselines import (
    CODECS,
    best_files,
    quality,
    thumbnail,
)
from narrows.simulations.bench.inversion_data import Pictures, View, read_pictures, side_of, view_of
from narrows.simulations.bench.inversion_report import draw_inversion, print_inversion

THUMBNAILS = (14, 28)
SHOWN = 4  # photographs of a plot
TOGETHER = 32  # photographs through the unsplit network at once


@dataclass(frozen=True)
class Attack:
    """What is attacked, with what, for how long."""

    bundle: Path
    data: Path  # parts train and val
    epochs: int
    limit: int | None  # photographs to train on
    kept_out: int  # photographs to measure on
    run: Path  # the folder of checkpoints


def run_inversion_bench(
    attack: Attack, as_json: bool, plot: Path | None, drawn: Path | None
) -> None:
    """Train, measure and print; `plot`: of the first photographs of `drawn`, or of those held out.

    Raises:
        NarrowsError: a bundle or photographs that do not hold together.
    """
    manifest = Manifest.load(attack.bundle)
    head, codec = load_head(attack.bundle, manifest), load_frame_codec(attack.bundle, manifest)
    side = side_of(manifest.input.short_side, manifest.input.stride)
    pictures = read_pictures(attack.data, "train", attack.limit, side)
    seen = view_of(head, pictures, "train")
    mirrored = view_of(head, pictures[:, :, ::-1], "train, mirrored")
    held = view_of(head, read_pictures(attack.data, "val", attack.kept_out, side), "val")
    if seen.cell < 2 or seen.cell % 2:
        raise ConfigError(f"{attack.bundle}: a latent of {seen.latents.shape[2]} for {side} pixels")
    torch.manual_seed(0)
    network = Inverter(len(codec.points), codec.channels, seen.cell)
    attack.run.mkdir(parents=True, exist_ok=True)
    name = f"{manifest.digest[:12]}-{attack.data.stem}-{len(seen)}-{attack.epochs}.safetensors"
    steps = _trained(network, codec, (seen, mirrored), attack.epochs, attack.run / name)
    nothing = seen.mean()
    strength = {
        "parameters": network.parameters_trained(), "steps": steps, "batch": BATCH,
        "photographs": len(seen),
    }  # fmt: skip
    found = {"photographs": len(held), "side": side // 2, "attacker": strength} | _measured(
        network, codec, held, nothing, load_tail(attack.bundle)
    )
    if plot:
        chosen = View(held.pictures[:SHOWN], held.latents[:SHOWN])
        if drawn is not None:
            chosen = view_of(head, read_pictures(drawn, "val", SHOWN, side), "drawn")
        draw_inversion(_columns(network, codec, chosen, nothing), plot)
    print(json.dumps(found)) if as_json else print_inversion(found)


def _trained(
    network: Inverter, codec: FrameCodec, views: Sequence[View], epochs: int, state: Path
) -> int:
    """Fit with a progress bar; the number of steps."""
    total = epochs * steps_of(len(views[0]))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("ridge regression", total=total)
        return fit(
            network, codec, views, epochs, state,
            lambda what, done: progress.update(task, description=what, advance=done),
        )  # fmt: skip


def _measured(
    network: Inverter, codec: FrameCodec, held: View, nothing: Tensor, tail: TailRunner
) -> dict[str, Any]:
    truth = held.wanted(slice(None))
    classes = _classes(tail, held.pictures)
    limits = [held.packet_bytes(codec, point) for point in range(len(codec.points))]
    files = {name: best_files(name, held.pictures, limits, nothing) for name in CODECS}
    rows = []
    for point, sizes in enumerate(limits):
        linear, whole = invert(network, codec, held, point)
        same = {"same_class": float((_classes(tail, _enlarged(whole)) == classes).mean())}
        rows.append(
            {"point": point, "bytes": float(np.mean(sizes))}
            | {"attack": quality(whole, truth) | same, "ridge": quality(linear, truth)}
            | {
                name: quality(found.drawn[point], truth) | {"bytes": found.bytes[point]}
                for name, found in files.items()
            }
        )
    blank = nothing.expand_as(truth)
    same = {"same_class": float((_classes(tail, _enlarged(blank[:1])) == classes).mean())}
    return {
        "mean_photograph": quality(blank, truth) | same,
        "thumbnails": [{"side": s} | quality(thumbnail(truth, s), truth) for s in THUMBNAILS],
        "points": rows,
    }


def _classes(tail: TailRunner, pictures: Pictures) -> NDArray[np.int64]:
    """(n,): what the unsplit network sees in (n, side, side, 3)."""
    parts = range(0, len(pictures), TOGETHER)
    seen = [tail.run_unsplit(pictures[i : i + TOGETHER]).argmax(1) for i in parts]
    return np.concatenate(seen)


def _enlarged(drawn: Tensor) -> Pictures:
    """(n, 3, h, w) in 0..1 -> (n, 2 h, 2 w, 3)."""
    large = F.interpolate(drawn, scale_factor=2, mode="bilinear").clamp(0, 1)
    return (large.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()


def _columns(
    network: Inverter, codec: FrameCodec, view: View, nothing: Tensor
) -> list[tuple[str, Tensor]]:
    """Photographs, what the attack draws from every point, and WebP files as small as point 0."""
    columns = [("photograph", view.wanted(slice(None)))]
    for point in range(len(codec.points)):
        sizes = view.packet_bytes(codec, point)
        columns.append((f"{np.mean(sizes):.0f} B", invert(network, codec, view, point)[1]))
    largest = [view.packet_bytes(codec, 0)]
    webp = best_files("webp", view.pictures, largest, nothing)
    return [*columns, (f"WebP, {webp.bytes[0]:.0f} B", webp.drawn[0])]
