"""Fit the device's own answer on crops of training photographs: a multinomial regression."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from narrows.codec.manifest import Manifest
from narrows.edge.head import HeadRunner
from narrows.edge.policy.exit import ExitHead, cells
from narrows.edge.policy.risk import Calibration
from narrows.images.labelled import Entry, LabelledImages
from narrows.images.preprocess import pad_to_stride, prepare

CROPS = 4  # of every photograph, the whole one among them
SMALLEST = 0.6  # of a crop, of the picture's sides
DECAY = 1e-3
UNFAMILIAR = 0.05  # share of fitted photographs whose energy is called unfamiliar
NOTHING = Calibration(np.zeros(0, np.float32), np.zeros(0, np.bool_))


def fit_exit(
    manifest: Manifest,
    head: HeadRunner,
    images: LabelledImages,
    entries: Sequence[tuple[Entry, int]],
) -> ExitHead:
    """`entries` with their labels' indices -> an exit head that is not calibrated yet."""
    rng = np.random.default_rng(0)
    features, targets, whole = [], [], []
    for entry, target in track(entries, "fitting", console=Console(stderr=True), transient=True):
        for number, crop in enumerate(_crops(images.image(entry.name), rng)):
            rule = manifest.input
            picture, _ = prepare(crop, rule.short_side, rule.max_aspect)
            features.append(cells(head.run(pad_to_stride(picture, rule.stride))))
            targets.append(target)
            whole.append(number == 0)
    x = np.stack(features)
    weight, bias = _regressed(x, np.array(targets), len(manifest.labels))
    energies = -np.logaddexp.reduce(x[np.array(whole)] @ weight.T + bias, axis=1)
    return ExitHead(weight, bias, float(np.quantile(energies, 1 - UNFAMILIAR)), NOTHING)


def _crops(photograph: Image.Image, rng: np.random.Generator) -> Iterator[Image.Image]:
    yield photograph
    for _ in range(CROPS - 1):
        scale = rng.uniform(SMALLEST, 1)
        width, height = (max(8, round(side * scale)) for side in photograph.size)
        left = int(rng.integers(0, photograph.width - width + 1))
        top = int(rng.integers(0, photograph.height - height + 1))
        crop = photograph.crop((left, top, left + width, top + height))
        mirrored = Image.Transpose.FLIP_LEFT_RIGHT
        yield crop.transpose(mirrored) if rng.random() < 0.5 else crop


def _regressed(
    features: NDArray[np.float32], targets: NDArray, labels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Multinomial logistic regression on standardised features -> (labels, d) and (labels,)."""
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    x, y = torch.from_numpy((features - mean) / deviation), torch.from_numpy(targets)
    weight = torch.zeros(labels, x.shape[1], requires_grad=True)
    bias = torch.zeros(labels, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y) + DECAY * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    scaled = weight.detach().numpy() / deviation
    return scaled.astype(np.float32), (bias.detach().numpy() - scaled @ mean).astype(np.float32)
