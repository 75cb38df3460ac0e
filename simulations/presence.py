"""`narrows bundle filter`: a filter for frames with nothing in them, fitted and measured on crops.

Crops of annotated photographs: those that show a box are something, those clear of all boxes are
nothing. The threshold is the highest that loses at most the asked share of the fitted crops.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from narrows.codec.manifest import Manifest
from narrows.edge.filter import PresenceFilter, pooled
from narrows.edge.head import HeadRunner, load_head
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages
from narrows.images.annotations import Annotation
from narrows.images.preprocess import pad_to_stride, prepare
from narrows.models.bundle import add_filter
from narrows.simulations.evaluation import evenly

CROPS = 6  # tried of every photograph
SMALLEST = 0.3  # of a crop, of the picture's sides
SHOWN, HIDDEN = 0.5, 0.02  # of a box's area inside: from here on something, up to here nothing
DECAY = 1e-3


def run_filter(
    bundle: Path, data: Sequence[Path], miss: float, limit: int | None, as_json: bool
) -> None:
    """Fit on the `train` parts, measure on `val`, write the filter, print. Raises NarrowsError."""
    manifest = Manifest.load(bundle)
    head, sets = load_head(bundle, manifest), [AnnotatedImages(path) for path in data]
    seen, kept_out = (_examples(sets, part, manifest, head, limit) for part in ("train", "val"))
    fitted = _fit(*seen, miss)
    figures = _measured(fitted, *kept_out) | {
        "fitted_on": len(seen[1]), "measured_on": len(kept_out[1]), "asked_miss_rate": miss,
    }  # fmt: skip
    add_filter(bundle, fitted.to_arrays(), figures)
    if as_json:
        print(json.dumps(figures))
    else:
        print(
            f"{bundle}: of {figures['measured_on']} crops kept out it misses "
            f"{figures['miss_rate']:.1%} of those with something in them and drops "
            f"{figures['drop_rate']:.1%} of those with nothing; sign it again"
        )


def _examples(
    sets: Sequence[AnnotatedImages],
    part: str,
    manifest: Manifest,
    head: HeadRunner,
    limit: int | None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pooled features (n, 2 C) of crops, and whether something is in them."""
    rng = np.random.default_rng(0)
    known = [(s, e) for s in sets for e in s.of_part(part) if e.boxes is not None]
    entries = evenly(known, limit)
    features, present = [], []
    for images, entry in track(entries, part, console=Console(stderr=True), transient=True):
        for crop, shows in _crops(images.image(entry.name), entry, rng):
            rule = manifest.input
            picture, _ = prepare(crop, rule.short_side, rule.max_aspect)
            features.append(pooled(head.run(pad_to_stride(picture, rule.stride))))
            present.append(shows)
    if len(set(present)) < 2:
        raise ConfigError(f"{part}: crops with and without boxes are needed, one kind came")
    return np.stack(features), np.array(present)


def _crops(
    photograph: Image.Image, entry: Annotation, rng: np.random.Generator
) -> Iterator[tuple[Image.Image, bool]]:
    assert entry.boxes is not None
    boxes = entry.boxes.corners
    area = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1e-6)
    for _ in range(CROPS):
        scale = rng.uniform(SMALLEST, 1)
        width, height = (max(8, round(side * scale)) for side in photograph.size)
        left = int(rng.integers(0, max(1, photograph.width - width + 1)))
        top = int(rng.integers(0, max(1, photograph.height - height + 1)))
        window = (left, top, left + width, top + height)
        inside = np.clip(boxes, window[:2] * 2, window[2:] * 2)
        share = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1]) / area
        if (share >= SHOWN).any() or (share <= HIDDEN).all():
            yield photograph.crop(window), bool((share >= SHOWN).any())


def _fit(features: NDArray[np.float32], present: NDArray[np.bool_], miss: float) -> PresenceFilter:
    """Logistic regression, both kinds of equal weight, on standardised features."""
    import torch
    import torch.nn.functional as F

    mean, deviation = features.mean(0), features.std(0) + 1e-6
    x = torch.from_numpy((features - mean) / deviation)
    y = torch.from_numpy(present.astype(np.float32))
    weights = torch.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ weight + bias, y, weights)
        loss = loss + DECAY * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    scaled = weight.detach().numpy() / deviation
    fitted = PresenceFilter(scaled.astype(np.float32), float(bias.item() - scaled @ mean), 0.0)
    scores = _scores(fitted, features[present])
    fitted.threshold = float(np.quantile(scores, miss))
    return fitted


def _scores(fitted: PresenceFilter, features: NDArray[np.float32]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(features @ fitted.weight + fitted.bias, -60, 60)))


def _measured(
    fitted: PresenceFilter, features: NDArray[np.float32], present: NDArray[np.bool_]
) -> dict[str, Any]:
    dropped = _scores(fitted, features) < fitted.threshold
    return {
        "miss_rate": float(dropped[present].mean()),
        "drop_rate": float(dropped[~present].mean()),
        "threshold": fitted.threshold,
    }
