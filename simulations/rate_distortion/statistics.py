"""Bytes at equal accuracy, Bjontegaard's rate difference, and how sure either is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from narrows.simulations.rate_distortion.curve import Curve

Points = Sequence[tuple[float, float]]  # (bytes, accuracy)
RESAMPLES = 1000


def envelope(points: Points) -> list[tuple[float, float]]:
    """The points that none cheaper beats, cheapest first: accuracy rises strictly with bytes."""
    kept: list[tuple[float, float]] = []
    for size, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((size, accuracy))
    return kept


def bytes_at(points: Points, accuracy: float) -> float | None:
    """Fewest bytes that reach an accuracy: on the envelope, linear in the logarithm of bytes.

    None where no point reaches it. Nothing is extrapolated: an accuracy at or below the cheapest
    point's costs what that point costs.
    """
    kept = envelope(points)
    if kept[-1][1] < accuracy:
        return None
    if accuracy <= kept[0][1]:
        return kept[0][0]
    sizes, accuracies = np.array(kept).T
    return float(np.exp(np.interp(accuracy, accuracies, np.log(sizes))))


def ratio_at(ours: Points, theirs: Points, accuracy: float) -> float | None:
    """Our bytes over theirs at an accuracy; None where either never reaches it."""
    a, b = bytes_at(ours, accuracy), bytes_at(theirs, accuracy)
    return None if a is None or b is None else a / b


def common(ours: Points, theirs: Points) -> dict[str, float]:
    """The highest accuracy that both reach, and our bytes over theirs there."""
    accuracy = min(max(a for _, a in points) for points in (ours, theirs))
    ratio = ratio_at(ours, theirs, accuracy)
    assert ratio is not None
    return {"accuracy": accuracy, "ratio": ratio}


def _draws(pictures: int, seed: int) -> NDArray[np.float64]:
    """(RESAMPLES, pictures): how often each picture is drawn, over their number."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(pictures, np.full(pictures, 1 / pictures), RESAMPLES)
    return counts / pictures


def accuracy_interval(right: NDArray[np.bool_], seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap (Efron 1979) of the mean of `right` (pictures,)."""
    low, high = np.percentile(_draws(len(right), seed) @ right, [2.5, 97.5])
    return float(low), float(high)


def ratio_interval(
    ours: Curve, theirs: Curve, unsplit: NDArray[np.bool_], drop: float, seed: int = 0
) -> tuple[float, float, int] | None:
    """95 % interval of `ratio_at` the unsplit accuracy less `drop`, and draws that have none.

    One draw of pictures serves both methods and the unsplit network. None where fewer than half of
    the draws have a ratio.
    """
    draws = _draws(len(unsplit), seed)
    targets = draws @ unsplit - drop
    sides = [
        (
            draws @ np.stack([s.sizes for s in curve.samples], 1),
            draws @ np.stack([s.right for s in curve.samples], 1),
        )
        for curve in (ours, theirs)
    ]
    ratios = []
    for row, target in enumerate(targets):
        a, b = (list(zip(sizes[row], right[row], strict=True)) for sizes, right in sides)
        if (ratio := ratio_at(a, b, target)) is not None:
            ratios.append(ratio)
    if len(ratios) * 2 < len(targets):
        return None
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high), len(targets) - len(ratios)


def bd_rate(reference: Points, other: Points) -> float | None:
    """Bjontegaard's mean rate difference of `other`, per cent of `reference`, accuracy for PSNR.

    Log bytes as a monotone cubic of accuracy (Fritsch & Carlson 1980, as the VCEG's later tools
    do), integrated over the accuracies both reach. None where they share no range.
    """
    curves = [envelope(points) for points in (reference, other)]
    if any(len(curve) < 2 for curve in curves):
        return None
    low = max(curve[0][1] for curve in curves)
    high = min(curve[-1][1] for curve in curves)
    if high <= low:
        return None
    grid = np.linspace(low, high, 200)
    logs = [_monotone_cubic(curve, grid) for curve in curves]
    return float((np.exp((logs[1] - logs[0]).mean()) - 1) * 100)


def _monotone_cubic(curve: Points, at: NDArray) -> NDArray[np.float64]:
    sizes, x = np.array(curve).T
    y = np.log(sizes)
    steps, slopes = np.diff(x), np.diff(y) / np.diff(x)
    tangents = np.zeros_like(y)
    tangents[[0, -1]] = slopes[[0, -1]]
    before, after = slopes[:-1], slopes[1:]
    weight = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    inner = before * after > 0
    mean = np.zeros_like(before)
    mean[inner] = (weight[0] + weight[1])[inner] / (
        weight[0][inner] / before[inner] + weight[1][inner] / after[inner]
    )
    tangents[1:-1] = mean
    i = np.clip(np.searchsorted(x, at) - 1, 0, len(steps) - 1)
    t = (at - x[i]) / steps[i]
    value: NDArray[np.float64] = (
        y[i] * (1 + 2 * t) * (1 - t) ** 2
        + y[i + 1] * t**2 * (3 - 2 * t)
        + steps[i] * (tangents[i] * t * (1 - t) ** 2 - tangents[i + 1] * t**2 * (1 - t))
    )
    return value
