"""How like a photograph a picture is, and what else could be had for a packet's bytes.

PSNR and SSIM (Wang et al., TIP 2004) on pictures in 0..1; thumbnails; JPEG and WebP files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from narrows.simulations.rate_distortion.codecs import decode, encode

CODECS = ("jpeg", "webp")
FILE_SIDES = (8, 12, 16, 20, 24, 32, 40, 48, 64, 96)
FILE_QUALITIES = {"jpeg": (5, 10, 20, 40, 70), "webp": (0, 5, 15, 30, 60)}

Pictures = NDArray[np.uint8]  # (n, side, side, 3)


def quality(drawn: Tensor, truth: Tensor) -> dict[str, float]:
    """Means over (n, 3, h, w) in 0..1 of `psnr`, in dB, and `ssim`."""
    error = (drawn - truth).square().mean((1, 2, 3)).clamp_min(1e-10)
    return {
        "psnr": round(float((-10 * error.log10()).mean()), 3),
        "ssim": round(float(_ssim(drawn, truth).mean()), 4),
    }


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    """(n, 3, h, w) in 0..1 twice -> (n,): Gaussian windows of 11 pixels, deviation 1.5."""
    x = torch.arange(11.0) - 5
    line = torch.exp(-x.square() / (2 * 1.5**2))
    window = torch.outer(line, line)
    window = (window / window.sum()).expand(3, 1, 11, 11)

    def blurred(t: Tensor) -> Tensor:
        return F.conv2d(t, window, groups=3)

    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return (top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean((1, 2, 3))


def thumbnail(truth: Tensor, side: int) -> Tensor:
    """(n, 3, h, h) as means over `side` x `side` areas, enlarged bicubically to the same shape."""
    small = F.adaptive_avg_pool2d(truth, side)
    return F.interpolate(small, truth.shape[2:], mode="bicubic").clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Files:
    """For each of several limits: (n, 3, h, h) in 0..1, and the mean of the bytes used."""

    drawn: list[Tensor]
    bytes: list[float]


def best_files(
    codec: str, pictures: Pictures, limits: Sequence[Sequence[int]], otherwise: Tensor
) -> Files:
    """Of all sizes and qualities the file nearest to each photograph within its bytes.

    `limits`: for each operating point every packet's bytes. Files of fewer pixels are enlarged to
    half the photograph's side. Where no file is small enough, `otherwise` (3, h, h) stands, which
    costs nothing.
    """
    side = pictures.shape[1] // 2
    nothing = (otherwise.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    drawn = [np.repeat(nothing[None], len(pictures), 0) for _ in limits]
    spent = np.zeros((len(limits), len(pictures)))
    shown = track(pictures, f"{codec} files", console=Console(stderr=True), transient=True)
    for index, picture in enumerate(shown):
        truth = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))
        files = sorted(_files(codec, picture, side), key=lambda f: _error(f[1], truth))
        for point, sizes in enumerate(limits):
            fits = [f for f in files if len(f[0]) <= sizes[index]]
            if fits and _error(fits[0][1], truth) < _error(nothing, truth):
                spent[point, index], drawn[point][index] = len(fits[0][0]), fits[0][1]
    as_tensors = [torch.from_numpy(d).permute(0, 3, 1, 2).float() / 255 for d in drawn]
    return Files(as_tensors, [float(mean) for mean in spent.mean(1)])


def _files(codec: str, picture: Pictures, side: int) -> list[tuple[bytes, Pictures]]:
    """Files of one photograph (side, side, 3), and what they show at half its side."""
    found = []
    for small in (s for s in FILE_SIDES if s <= side):
        shrunk = Image.fromarray(picture).resize((small, small), Image.Resampling.BOX)
        for wanted in FILE_QUALITIES[codec]:
            data = encode(np.asarray(shrunk), codec, wanted)
            shown = Image.fromarray(decode(data)).resize((side, side), Image.Resampling.BICUBIC)
            found.append((data, np.asarray(shown)))
    return found


def _error(a: Pictures, b: Pictures) -> float:
    return float(np.square(a.astype(np.float32) - b).mean())
