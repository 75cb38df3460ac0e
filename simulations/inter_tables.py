"""`narrows bundle video`: tables for videos, counted on sequences made of photographs."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from narrows.codec.frame import load_frame_codec
from narrows.codec.inter import CONTEXTS, Reference, Symbols, count_differences, tables_of
from narrows.codec.manifest import Manifest
from narrows.edge.head import load_head
from narrows.images.annotated import photographs
from narrows.images.motion import Motion, sequence
from narrows.images.preprocess import pad_to_stride, resize_and_crop
from narrows.models.bundle import add_inter_tables
from narrows.simulations.evaluation import evenly

FRAMES = 4  # of a sequence
FASTEST = 8.0  # pixels a frame
REACH = 32


def run_inter_tables(
    bundle: Path, data: Sequence[Path], part: str, count: int, as_json: bool
) -> None:
    """Count on `part` of every set, write the tables, print.

    Raises:
        NarrowsError: the bundle or the photographs cannot be read.
    """
    manifest, sets = Manifest.load(bundle), [photographs(path, part) for path in data]
    seen = [(images, name) for images, names in sets for name in names]
    head, codec = load_head(bundle, manifest), load_frame_codec(bundle, manifest)
    rng = np.random.default_rng(0)
    shape = (codec.channels * CONTEXTS, 2 * REACH + 1)
    counts = np.zeros((len(codec.points), *shape), np.int64)
    chosen = evenly(seen, count)
    for images, name in track(chosen, "sequences", console=Console(stderr=True), transient=True):
        rule = manifest.input
        picture = resize_and_crop(images.image(name), rule.short_side, rule.max_aspect)
        frames = sequence(picture, Motion.drawn(rng, FASTEST), FRAMES, rng)
        latents = [head.run(pad_to_stride(frame, rule.stride)) for frame in frames]
        for point in range(len(codec.points)):
            symbols: list[Symbols] = []
            for latent in latents:
                before = Reference(symbols[-1], point) if symbols else None
                symbols.append(codec.quantise(latent, point, before))
            counts[point] += count_differences(symbols, REACH)
    tables = [tables_of(c, codec.channels) for c in counts]
    names = " + ".join(path.name for path in data)
    counted = {"data": names, "sequences": len(chosen), "frames": FRAMES, "fastest": FASTEST}
    written = add_inter_tables(bundle, tables, counted)
    if as_json:
        print(json.dumps(counted | {"digest": written.digest}))
    else:
        print(f"{bundle}: tables for videos, of {len(chosen)} sequences; sign it again")
